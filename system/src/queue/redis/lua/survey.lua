-- Puts failed chunks whose delay is over back into the stream, and says who holds deliveries.
-- KEYS  tasks, retry, members
-- ARGV  group, lease in milliseconds, limit
-- Returns {consumer, its nonce or '', ...} and whether any delivery outlived its lease.
local tasks, retry, members = unpack(KEYS)
local holders = {}
for _, consumer in ipairs(redis.call('XPENDING', tasks, ARGV[1])[4] or {}) do
  holders[#holders + 1] = consumer[1]
  holders[#holders + 1] = redis.call('HGET', members, consumer[1]) or ''
end
local overdue = #redis.call('XPENDING', tasks, ARGV[1], 'IDLE', ARGV[2], '-', '+', 1)

-- What is no task is one that nobody can read, which a worker finds out.
local function fields_of(task)
  local is_json, object = pcall(cjson.decode, task)
  local fields = {}
  for name, value in pairs(is_json and type(object) == 'table' and object or {}) do
    if type(value) == 'table' then
      return { 'raw', task }
    end
    fields[#fields + 1] = name
    fields[#fields + 1] = tostring(value)
  end
  return #fields > 0 and fields or { 'raw', task }
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', retry, '-inf', now, 'LIMIT', 0, ARGV[3])
if #due > 0 then
  local no = refused(nil, 'ZREM', retry, '')
  if no then
    return no
  end
end
for _, task in ipairs(due) do
  redis.call('XADD', tasks, '*', unpack(fields_of(task)))
  redis.call('ZREM', retry, task)
end
return { holders, overdue }
