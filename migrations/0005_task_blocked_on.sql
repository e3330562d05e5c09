-- What a task can't go on without and that is away: 'the shared hub', 'room on the disk'. Null while nothing is.
alter table task add column blocked_on text;
