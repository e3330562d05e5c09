-- Columns, tables and values take the names of the glossary. Rows that exist are renamed with them.
alter table run rename column check_asked to check_requested;
alter table model_call rename column model_asked to model_requested;
alter table merge rename column how to method;
alter table merge rename column begun to claims;
alter table merge rename column asked_at to waiting_since;
alter table answer rename to conflict_decision;
alter table conflict_decision rename column by to decided_by;
alter table conflict_decision rename column answered_at to decided_at;
alter table remembered rename to remembered_resolution;
alter index remembered_extension rename to remembered_resolution_extension;

-- A reason that was 'asked' is 'requested'.
update run set reason = jsonb_set(reason, '{code}', '"requested"') where reason ->> 'code' = 'asked';
update task set reason = jsonb_set(reason, '{code}', '"requested"') where reason ->> 'code' = 'asked';
update merge set reason = jsonb_set(reason, '{code}', '"requested"') where reason ->> 'code' = 'asked';
update attempt set finish_end = jsonb_set(finish_end, '{reason,code}', '"requested"')
    where finish_end #>> '{reason,code}' = 'asked';
update event set data = jsonb_set(data, '{reason,code}', '"requested"') where data #>> '{reason,code}' = 'asked';
update event set data = jsonb_set(data, '{end,reason,code}', '"requested"')
    where data #>> '{end,reason,code}' = 'asked';

-- An attempt that 'gave_up' is 'unrecoverable'.
update attempt set finish_end = jsonb_set(finish_end, '{end}', '"unrecoverable"') where finish_end ->> 'end' = 'gave_up';
update event set data = jsonb_set(data, '{end,end}', '"unrecoverable"')
    where kind = 'attempt_ended' and data #>> '{end,end}' = 'gave_up';

update event set kind = named.new, data = jsonb_set(event.data, '{kind}', to_jsonb(named.new))
    from (values ('plan_asked', 'plan_requested'), ('delivery_asked', 'delivery_requested'),
                 ('merge_waits', 'merge_waiting'), ('merge_answered', 'merge_decided'),
                 ('merge_moved', 'merge_progressed'), ('delivery_moved', 'delivery_step_ended')) as named (old, new)
    where event.kind = named.old;
