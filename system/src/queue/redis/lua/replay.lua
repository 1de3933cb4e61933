-- Makes a dead letter a task again, and its chunk open. Whoever finds the letter gone has lost the
-- race to another, or is repeating what it has done.
-- KEYS  tasks, dead letters, committed, dead, progress
-- ARGV  entry id of the letter, chunk index, fields of the task
local tasks, letters, committed, dead, progress = unpack(KEYS)
local letter, chunk = ARGV[1], ARGV[2]
if #redis.call('XRANGE', letters, letter, letter) == 0 then
  return 0
end
local is_committed = redis.call('GETBIT', committed, chunk) == 1
local is_dead = redis.call('GETBIT', dead, chunk) == 1
local no
if is_dead then
  no = refused('bit offset', 'SETBIT', dead, -1, 0) or no_counter(progress, 'dead')
end
no = no or refused(nil, 'XDEL', letters, '0-0')
if no then
  return no
end
if not is_committed then
  redis.call('XADD', tasks, '*', unpack(ARGV, 3))
end
if is_dead then
  redis.call('SETBIT', dead, chunk, 0)
  redis.call('HINCRBY', progress, 'dead', -1)
end
redis.call('XDEL', letters, letter)
return 1
