-- Writes a kernel down beside those that the sweep may be computed by, where there is room.
-- KEYS  kernels
-- ARGV  the kernel, how many there may be with it
-- Returns those that were there before.
local kernels, kernel, room = KEYS[1], ARGV[1], tonumber(ARGV[2])
local there = redis.call('SMEMBERS', kernels)
if #there < room then
  -- The only write; where the kernel is there, it changes nothing.
  redis.call('SADD', kernels, kernel)
end
return there
