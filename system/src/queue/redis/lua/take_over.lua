-- Takes over deliveries: those of the dead, and those that outlived their lease. What was seen
-- before is checked again here. One that was with somebody who died is taken alone: it may be why.
-- KEYS  tasks, members, progress, releases
-- ARGV  group, consumer, lease in milliseconds (or 0: leave leases alone), limit,
--       number of dead, then for each: consumer, nonce or '',
--       then the ids that this worker holds
-- Returns {{id, delivery number, how often its worker died, fields}, ...} and the ids of tasks that
-- are gone from the stream.
local tasks, members, progress, releases = unpack(KEYS)
local group, me, lease, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local dead_end = 5 + 2 * tonumber(ARGV[5])
local held = {}
for at = dead_end + 1, #ARGV do
  held[ARGV[at]] = true
end

-- Nobody's entry is taken where it could not be counted.
local no = refused(nil, 'HGET', members, '') or refused(nil, 'HGET', releases, '')
  or no_counter(progress, 'redelivered') or refused(nil, 'XACK', tasks, group, '0-0')
if no then
  return no
end

local taken, gone, alone = {}, {}, false
local function take(pending)
  for _, entry in ipairs(pending) do
    local id = entry[1]
    local deaths = entry[4] - (tonumber(redis.call('HGET', releases, id)) or 0)
    if #taken >= limit or alone then
      return
    end
    if not held[id] and (deaths <= 0 or #taken == 0) then
      alone = deaths > 0
      local claimed = redis.call('XCLAIM', tasks, group, me, 0, id)[1]
      if claimed then
        taken[#taken + 1] = { id, entry[4] + 1, deaths, claimed[2] }
        redis.call('HINCRBY', progress, 'redelivered', 1)
      else
        -- Older servers leave it pending, for ever.
        redis.call('XACK', tasks, group, id)
        gone[#gone + 1] = id
        alone = false
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
