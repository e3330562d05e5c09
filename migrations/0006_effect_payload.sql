-- What an effect is about, beside its kind. A delivery is to know whether its run was complete before.
alter table effect add column payload jsonb;
update effect set payload = jsonb_build_object('again', run.state = 'complete')
    from run where run.id = effect.run and effect.kind = 'deliver';
