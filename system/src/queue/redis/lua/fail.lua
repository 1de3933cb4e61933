-- Ends a failed attempt: the task waits for another, or becomes a dead letter.
-- KEYS  tasks, retry, dead letters, committed, dead, progress
-- ARGV  group, consumer, entry id, delivery number, chunk index or '' where there is none, then
--       either 'retry', delay in milliseconds, the task as JSON, or
--       'dead', fields of the dead letter
local tasks, retry, letters, committed, dead, progress = unpack(KEYS)
local group, id, chunk, is_retry = ARGV[1], ARGV[3], ARGV[5], ARGV[6] == 'retry'
local pending = redis.call('XPENDING', tasks, group, id, id, 1)[1]
if not (pending and pending[2] == ARGV[2] and pending[4] == tonumber(ARGV[4])) then
  return 0
end
if chunk ~= '' and (redis.call('GETBIT', committed, chunk) == 1
  or redis.call('GETBIT', dead, chunk) == 1) then
  redis.call('XACK', tasks, group, id)
  return 0
end
-- What needs memory comes first: where there is none, only the first of all writes is refused.
local no
if is_retry then
  no = refused('not a valid float', 'ZADD', retry, 'x', '')
elseif chunk ~= '' then
  no = refused('bit offset', 'SETBIT', dead, -1, 1) or no_counter(progress, 'dead')
else
  no = refused('must be greater', 'XADD', letters, '0-0', 'a', 'b')
end
no = no or refused(nil, 'XACK', tasks, group, '0-0')
if no then
  return no
end
if is_retry then
  local clock = redis.call('TIME')
  redis.call('ZADD', retry, clock[1] * 1000 + math.floor(clock[2] / 1000) + ARGV[7], ARGV[8])
else
  redis.call('XADD', letters, '*', unpack(ARGV, 7))
  if chunk ~= '' then
    redis.call('SETBIT', dead, chunk, 1)
    redis.call('HINCRBY', progress, 'dead', 1)
  end
end
redis.call('XACK', tasks, group, id)
return is_retry and 1 or 2
