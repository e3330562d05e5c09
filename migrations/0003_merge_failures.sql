-- How often an entry of the merge queue could not be worked on, and why the last time: beyond a number it leaves the queue.
alter table merge
    add column failures integer not null default 0,
    add column last_failure text;
