-- Gives deliveries back: they go to a consumer that nobody is, from which anybody takes over.
-- KEYS  tasks, releases
-- ARGV  group, consumer, the consumer that nobody is, then for each: entry id, delivery number
local tasks, releases = unpack(KEYS)
local group, consumer, nobody = ARGV[1], ARGV[2], ARGV[3]
local held = {}
for at = 4, #ARGV, 2 do
  local id = ARGV[at]
  local pending = redis.call('XPENDING', tasks, group, id, id, 1)[1]
  if pending and pending[2] == consumer and pending[4] == tonumber(ARGV[at + 1]) then
    local no = refused('min-idle-time', 'XCLAIM', tasks, group, nobody, 'x', '0-0')
      or no_counter(releases, id)
    if no then
      return no
    end
    held[#held + 1] = id
  end
end
for _, id in ipairs(held) do
  redis.call('HINCRBY', releases, id, 1)
  redis.call('XCLAIM', tasks, group, nobody, 0, id, 'JUSTID')
end
return 0
