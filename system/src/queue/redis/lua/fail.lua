-- Ends a failed attempt: the task waits for another, or becomes a dead letter.
-- KEYS  tasks, retry, dead letters, committed, dead, progress
-- ARGV  group, consumer, entry id, delivery number, then either
--       'retry', delay in milliseconds, the task as JSON, or
--       'dead', chunk index or '' where there is none, fields of the dead letter
local tasks, retry, letters, committed, dead, progress = unpack(KEYS)
local id = ARGV[3]
local pending = redis.call('XPENDING', tasks, ARGV[1], id, id, 1)[1]
if not (pending and pending[2] == ARGV[2] and pending[4] == tonumber(ARGV[4])) then
  return 0
end
redis.call('XACK', tasks, ARGV[1], id)
if ARGV[5] == 'retry' then
  local clock = redis.call('TIME')
  redis.call('ZADD', retry, clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[6], ARGV[7])
  return 1
end
local chunk = ARGV[6]
if chunk ~= '' then
  if redis.call('GETBIT', committed, chunk) == 1 or redis.call('GETBIT', dead, chunk) == 1 then
    return 0
  end
  redis.call('SETBIT', dead, chunk, 1)
  redis.call('HINCRBY', progress, 'dead', 1)
end
redis.call('XADD', letters, '*', unpack(ARGV, 7))
return 2
