-- Ends a failed attempt: the task waits for another, or becomes a dead letter.
-- KEYS  tasks, retry, dead letters, committed, dead, progress
-- ARGV  group, consumer, entry id, delivery number, chunk index or '' where there is none, then
--       either 'retry', delay in milliseconds, the task as JSON, or
--       'dead', fields of the dead letter
local tasks, retry, letters, committed, dead, progress = unpack(KEYS)
local id, chunk = ARGV[3], ARGV[5]
local pending = redis.call('XPENDING', tasks, ARGV[1], id, id, 1)[1]
if not (pending and pending[2] == ARGV[2] and pending[4] == tonumber(ARGV[4])) then
  return 0
end
redis.call('XACK', tasks, ARGV[1], id)
if chunk ~= '' and (redis.call('GETBIT', committed, chunk) == 1
  or redis.call('GETBIT', dead, chunk) == 1) then
  return 0
end
if ARGV[6] == 'retry' then
  local clock = redis.call('TIME')
  redis.call('ZADD', retry, clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[7], ARGV[8])
  return 1
end
if chunk ~= '' then
  redis.call('SETBIT', dead, chunk, 1)
  redis.call('HINCRBY', progress, 'dead', 1)
end
redis.call('XADD', letters, '*', unpack(ARGV, 7))
return 2
