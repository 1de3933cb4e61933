-- Signs a worker off, unless a later life of it has signed on since.
-- KEYS  tasks, members, releases
-- ARGV  group, consumer, its nonce, the consumer that nobody is
local tasks, members, releases = unpack(KEYS)
local group, consumer, nonce, nobody = unpack(ARGV)
if redis.call('HGET', members, consumer) ~= nonce then
  return 0
end
local no = refused('min-idle-time', 'XCLAIM', tasks, group, nobody, 'x', '0-0')
  or refused(nil, 'HDEL', members, '') or refused(nil, 'XGROUP', 'DELCONSUMER', tasks, group, '')
  or no_counter(releases, '')
local pending
repeat
  pending = redis.call('XPENDING', tasks, group, '-', '+', 100, consumer)
  for _, entry in ipairs(pending) do
    no = no or no_counter(releases, entry[1])
    if no then
      return no
    end
    redis.call('HINCRBY', releases, entry[1], 1)
    redis.call('XCLAIM', tasks, group, nobody, 0, entry[1], 'JUSTID')
  end
until #pending == 0
if no then
  return no
end
-- Deleting a consumer that has entries pending would make them undeliverable; it has none.
redis.call('XGROUP', 'DELCONSUMER', tasks, group, consumer)
redis.call('HDEL', members, consumer)
return 1
