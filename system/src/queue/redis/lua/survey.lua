-- Puts failed chunks whose delay is over back into the stream, and says who holds deliveries.
-- KEYS  tasks, retry, members
-- ARGV  group, lease in milliseconds, limit
-- Returns {consumer, its nonce or '', ...} and whether any delivery outlived its lease.
local tasks, retry, members = unpack(KEYS)
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for _, task in ipairs(redis.call('ZRANGEBYSCORE', retry, '-inf', now, 'LIMIT', 0, ARGV[3])) do
  local fields = {}
  for name, value in pairs(cjson.decode(task)) do
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  redis.call('XADD', tasks, '*', unpack(fields))
  redis.call('ZREM', retry, task)
end
local holders = {}
for _, consumer in ipairs(redis.call('XPENDING', tasks, ARGV[1])[4] or {}) do
  holders[#holders + 1] = consumer[1]
  holders[#holders + 1] = redis.call('HGET', members, consumer[1]) or ''
end
local overdue = #redis.call('XPENDING', tasks, ARGV[1], 'IDLE', ARGV[2], '-', '+', 1)
return { holders, overdue }
