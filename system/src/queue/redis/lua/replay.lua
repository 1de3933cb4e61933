-- Makes a dead letter a task again, and its chunk open. Whoever finds the letter gone has lost the
-- race to another, or is repeating what it has done.
-- KEYS  tasks, dead letters, committed, dead, progress
-- ARGV  entry id of the letter, chunk index, fields of the task
local tasks, letters, committed, dead, progress = unpack(KEYS)
local chunk = ARGV[2]
if redis.call('XDEL', letters, ARGV[1]) == 0 then
  return 0
end
if redis.call('GETBIT', dead, chunk) == 1 then
  redis.call('SETBIT', dead, chunk, 0)
  redis.call('HINCRBY', progress, 'dead', -1)
end
if redis.call('GETBIT', committed, chunk) == 0 then
  redis.call('XADD', tasks, '*', unpack(ARGV, 3))
end
return 1
