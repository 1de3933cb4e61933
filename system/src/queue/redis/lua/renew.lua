-- A sign of life for deliveries. XCLAIM alone would steal back what is with somebody else by now.
-- KEYS  tasks
-- ARGV  group, consumer, then for each: entry id, delivery number
-- Returns the places of those that are lost, counted from 0.
local lost = {}
for at = 3, #ARGV, 2 do
  local id = ARGV[at]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1]
  if pending and pending[2] == ARGV[2] and pending[4] == tonumber(ARGV[at + 1]) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
  else
    lost[#lost + 1] = (at - 3) / 2
  end
end
return lost
