-- Puts failed chunks whose delay is over back into the stream, and says who holds deliveries.
-- KEYS  tasks, retry, members, clock
-- ARGV  group, lease in milliseconds, limit
-- Returns {consumer, its nonce or '', ...}, whether any delivery outlived its lease, and what time it is.
local tasks, retry, members, clock = unpack(KEYS)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- So small a step back delays nothing that matters, and is not worth a write either.
local step = 100
local last = tonumber(redis.call('GET', clock) or now - 2 * step)
local back = now < last - step and last - now or 0

local due = redis.call('ZRANGEBYSCORE', retry, '-inf', now + back, 'LIMIT', 0, ARGV[3])
local holders = {}
for _, consumer in ipairs(redis.call('XPENDING', tasks, ARGV[1])[4] or {}) do
  holders[#holders + 1] = consumer[1]
  holders[#holders + 1] = redis.call('HGET', members, consumer[1]) or ''
end
if #due > 0 or back > 0 then
  local no = refused(nil, 'ZREM', retry, '')
    or back > 0 and refused('Invalid stream ID', 'XADD', tasks, 'x', 'a', 'b')
    or back > 0 and refused('not a valid float', 'ZINCRBY', retry, 'x', '')
    or back > 0 and refused('min-idle-time', 'XCLAIM', tasks, ARGV[1], 'x', 'x', '0-0')
  if no then
    return no
  end
end

if back > 0 then
  -- The clock was set back: what is due is due as much earlier, and leases begin anew.
  for _, task in ipairs(redis.call('ZRANGE', retry, 0, -1)) do
    redis.call('ZINCRBY', retry, -back, task)
  end
  local from = '-'
  repeat
    local pending = redis.call('XPENDING', tasks, ARGV[1], from, '+', 1000)
    for _, entry in ipairs(pending) do
      redis.call('XCLAIM', tasks, ARGV[1], entry[2], 0, entry[1], 'IDLE', 0, 'JUSTID')
      from = '(' .. entry[1]
    end
  until #pending < 1000
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

for _, task in ipairs(due) do
  redis.call('XADD', tasks, '*', unpack(fields_of(task)))
  redis.call('ZREM', retry, task)
end
if math.abs(now - last) > step then
  -- A server that is full, or a user who may not, is no reason not to look.
  redis.pcall('SET', clock, string.format('%.0f', now))
end
return { holders, overdue, now }
