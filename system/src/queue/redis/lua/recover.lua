-- Gives back what is under this worker's name and not known to it: a former life's, or the answer
-- to a read that a broken connection lost.
-- KEYS  tasks
-- ARGV  group, consumer, the consumer that nobody is, then the ids that this worker holds
local held = {}
for at = 4, #ARGV do
  held[ARGV[at]] = true
end
local moved
repeat
  moved = 0
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 100 + #ARGV, ARGV[2])
  for _, entry in ipairs(pending) do
    if not held[entry[1]] then
      redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, entry[1], 'JUSTID')
      moved = moved + 1
    end
  end
until moved == 0
return 0
