begin;
update bench_queue set claimable = false, owner = :client_id, expires_at = now() + interval '30 seconds'
 where id = (select id from bench_queue where claimable order by id for update skip locked limit 1)
returning id \gset
commit;
update bench_queue set done = true, expires_at = null where id = :id and owner = :client_id and not done;
