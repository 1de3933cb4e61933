-- Takes over deliveries: those of the dead, and those that outlived their lease. What was seen
-- before is checked again here.
-- KEYS  tasks, members, progress
-- ARGV  group, consumer, lease in milliseconds (or 0: leave leases alone), limit,
--       number of dead, then for each: consumer, nonce or '',
--       then the ids that this worker holds
-- Returns {{id, delivery number, fields}, ...} and the ids of tasks that are gone from the stream.
local tasks, members, progress = unpack(KEYS)
local group, me, lease, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local dead_end = 5 + 2 * tonumber(ARGV[5])
local held = {}
for at = dead_end + 1, #ARGV do
  held[ARGV[at]] = true
end

local taken, gone = {}, {}
local function take(pending)
  for _, entry in ipairs(pending) do
    local id = entry[1]
    if #taken >= limit then
      return
    end
    if not held[id] then
      local claimed = redis.call('XCLAIM', tasks, group, me, 0, id)[1]
      if claimed then
        taken[#taken + 1] = { id, entry[4] + 1, claimed[2] }
        redis.call('HINCRBY', progress, 'redelivered', 1)
      else
        gone[#gone + 1] = id
      end
      held[id] = true
    end
  end
end

for at = 6, dead_end, 2 do
  if (redis.call('HGET', members, ARGV[at]) or '') == ARGV[at + 1] then
    take(redis.call('XPENDING', tasks, group, '-', '+', limit, ARGV[at]))
  end
end
if lease ~= '0' then
  local look = limit + #ARGV - dead_end
  take(redis.call('XPENDING', tasks, group, 'IDLE', lease, '-', '+', look))
end
return { taken, gone }
