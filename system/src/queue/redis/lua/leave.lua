-- Signs a worker off, unless a later life of it has signed on since.
-- KEYS  tasks, members, releases
-- ARGV  group, consumer, its nonce, the consumer that nobody is
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[3] then
  return 0
end
repeat
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 100, ARGV[2])
  for _, entry in ipairs(pending) do
    redis.call('HINCRBY', KEYS[3], entry[1], 1)
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[4], 0, entry[1], 'JUSTID')
  end
until #pending == 0
-- Deleting a consumer that has entries pending would make them undeliverable; it has none.
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
return 1
