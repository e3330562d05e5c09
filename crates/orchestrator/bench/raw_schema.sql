-- The least a durable queue can be: what claiming and completing one row costs in this Postgres, whatever is built
-- on it.
drop table if exists bench_queue;
create table bench_queue (
    id          bigint generated always as identity primary key,
    done        boolean     not null default false,
    claimable   boolean     not null default true,
    owner       integer,
    expires_at  timestamptz
) with (fillfactor = 70);
create index bench_queue_ready on bench_queue (id) where claimable;
insert into bench_queue select from generate_series(1, 200000);
analyze bench_queue;
