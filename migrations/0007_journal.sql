-- A turn is journaled in the product's terms. What the worker needs to resume after it is a payload that only the
-- backend named beside it can read. Older turns were all written by the product's own backend, whose payload is the
-- assistant's message.
alter table turn rename column assistant to payload;
alter table turn
    add column backend text not null default 'model_loop',
    add column backend_version integer not null default 1,
    add column text text;                              -- what the agent said, if anything
update turn set text = payload ->> 'content' where payload ->> 'content' is not null;
alter table turn
    alter column backend drop default,
    alter column backend_version drop default;
