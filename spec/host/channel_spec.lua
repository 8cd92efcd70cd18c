local channel = require "weir.native.channel"
local native = require "weir.native.scheduler"
local task = require "weir.task"

local OPERATIONS = os.getenv "WEIR_NIGHTLY" and 10000000 or 100000
local POLICIES = { "wait", "drop_oldest", "drop_newest", "latest" }

local function draw(n) return 1 + math.floor(native.random() * n) end

-- What a channel is: a list with a limit.
local Model = {}
Model.__index = Model

local function new_model(capacity, on_full)
  return setmetatable({ capacity = capacity, on_full = on_full, values = {}, accepted = 0, dropped = 0 }, Model)
end

function Model:try_send(value)
  if self.closed then return nil, self.code or "closed" end
  if #self.values == self.capacity then
    if self.on_full == "wait" then return nil, "full" end
    local count = self.on_full == "latest" and #self.values or 1
    self.dropped = self.dropped + count
    if self.on_full == "drop_newest" then return true end
    for _ = 1, count do table.remove(self.values, 1) end
  end
  self.values[#self.values + 1] = value
  self.accepted = self.accepted + 1
  return true
end

function Model:try_recv()
  if #self.values > 0 then return table.remove(self.values, 1) end
  return nil, self.closed and (self.code or "closed") or "empty"
end

function Model:close(code)
  if not self.closed then self.closed, self.code = true, code end
end

describe("a channel", function()
  local tasks_before

  before_each(function()
    tasks_before = native.stats().tasks
    native.use_virtual_clock(nil, 0)
  end)

  after_each(function()
    native.use_real_clock()
    assert.is_true(native.stats().tasks <= tasks_before)
  end)

  it("does what a plain list with a limit does, over random operations", function()
    local seed, done = 0, 0
    while done < OPERATIONS do
      seed = seed + 1
      native.use_virtual_clock(seed, 0)
      local capacity, on_full = draw(5), POLICIES[draw(4)]
      local ch, model = channel.new(capacity, on_full), new_model(capacity, on_full)
      for step = 1, 200 do
        local what = native.random()
        local got, message, code, expected, why
        if what < 0.5 then
          got, message, code = ch:try_send(step)
          expected, why = model:try_send(step)
        elseif what < 0.99 then
          got, message, code = ch:try_recv()
          expected, why = model:try_recv()
        else
          local reason = native.random() < 0.5 and "limit" or nil
          ch:close(reason and "too much", reason)
          model:close(reason)
        end
        if got ~= expected or code ~= why or (code and not message) or #ch ~= #model.values then
          error(("seed %d, step %d: %s %s instead of %s %s"):format(seed, step, tostring(got), tostring(code), tostring(expected), tostring(why)))
        end
      end
      done = done + 200
      local stats = ch:stats()
      assert.same({ capacity = capacity, count = #model.values, accepted = model.accepted, dropped = model.dropped,
        closed = model.closed or false }, stats)
    end
  end)

  -- Senders and receivers that wait, time out, select and are cancelled: what was accepted comes out once,
  -- in order for each sender, and nobody is left waiting.
  local function chaos(seed, operations)
    native.use_virtual_clock(seed, seed % 3 == 0 and 50 or 0)
    local channels, accepted, received, done = {}, {}, {}, 0
    for i = 1, draw(3) do channels[i] = channel.new(draw(4)) end
    local function took(value)
      assert(value ~= nil and not received[value], value)
      received[value] = true
      received[#received + 1] = value
    end
    local function send(name, number)
      local value = name .. ":" .. number
      local ch = channels[draw(#channels)]
      local how = native.random()
      local ok
      if how < 0.4 then
        ok = ch:send(value)
      elseif how < 0.6 then
        ok = ch:send(value, native.random() * 2)
      elseif how < 0.8 then
        ok = ch:try_send(value)
      else
        local _, sent = channel.select({ { ch, value } }, native.random())
        ok = sent == true
      end
      if ok then accepted[#accepted + 1] = value end
    end
    local function receive()
      local how = native.random()
      local ch = channels[draw(#channels)]
      local value
      if how < 0.4 then
        value = ch:recv()
      elseif how < 0.6 then
        value = ch:recv(native.random() * 2)
      elseif how < 0.7 then
        value = ch:try_recv()
      else
        local _
        _, value = channel.select(channels, how < 0.85 and native.random() or nil)
      end
      if value ~= nil and value ~= "timeout" and type(value) == "string" and value:find ":" then took(value) end
    end
    task.within({}, function(scope)
      local workers = {}
      for i = 1, draw(4) do
        workers[#workers + 1] = native.spawn(function()
          for number = 1, operations do
            send("s" .. i, number)
            done = done + 1
            if native.random() < 0.2 then native.sleep(native.random()) end
          end
        end)
      end
      for _ = 1, draw(4) do
        workers[#workers + 1] = native.spawn(function()
          for _ = 1, operations do
            receive()
            done = done + 1
            if native.random() < 0.2 then native.sleep(native.random()) end
          end
        end)
      end
      native.sleep(native.random() * operations / 4)
      if native.random() < 0.5 then workers[draw(#workers)]:cancel "chaos" end
      native.sleep(operations)
      for _, ch in ipairs(channels) do ch:close() end
      native.sleep(operations) -- whoever waits now has missed the close
      for _, worker in ipairs(workers) do
        if worker:status() == "waiting" then scope:cancel("seed " .. seed .. ": a task still waits for " .. tostring(worker:info().waits_for), "failed") end
      end
    end)
    for _, ch in ipairs(channels) do
      while true do
        local value = ch:try_recv()
        if value == nil then break end
        took(value)
      end
    end
    for _, value in ipairs(accepted) do assert(received[value], ("seed %d: '%s' was accepted and is lost"):format(seed, value)) end
    return done, #received - #accepted
  end

  it("loses nothing, gives nothing twice and leaves nobody waiting, over random tasks", function()
    local done, seed, extra = 0, 0, 0
    while done < OPERATIONS do
      seed = seed + 1
      local now, more = chaos(seed, 30)
      done, extra = done + now, extra + more
    end
    -- a sender that was cancelled between its send and its note may have one more value accepted than noted
    assert.is_true(extra <= seed)
  end)

  it("hands values over in the order in which they were sent, to one receiver or several", function()
    for receivers = 1, 3 do
      local ch, got = channel.new(2), {}
      task.within({}, function()
        for _ = 1, receivers do
          native.spawn(function() for value in ch:items() do got[#got + 1] = value end end)
        end
        for i = 1, 100 do ch:send(i) end
        ch:close()
      end)
      for i = 1, 100 do assert.equal(i, got[i]) end
      assert.equal(100, #got)
    end
  end)

  it("makes a sender wait while it is full, and no longer", function()
    local ch, sent = channel.new(2), 0
    task.within({}, function()
      native.spawn(function() for i = 1, 5 do ch:send(i) sent = i end end)
      native.yield()
      assert.equal(2, sent)
      assert.equal(1, ch:recv())
      native.yield()
      assert.equal(3, sent)
      for i = 2, 5 do assert.equal(i, ch:recv()) end
    end)
    assert.equal(5, sent)
  end)

  it("refuses at once with try_: full, empty, closed", function()
    local ch = channel.new(1)
    assert.equal("empty", select(3, ch:try_recv()))
    assert.is_true(ch:try_send(false))
    assert.equal("full", select(3, ch:try_send(2)))
    assert.is_false(ch:try_recv())
    ch:close()
    assert.equal("closed", select(3, ch:try_send(1)))
    assert.equal("closed", select(3, ch:try_recv()))
  end)

  it("says timeout to a send and a recv that waited long enough, to the second", function()
    local ch = channel.new(1)
    local from = native.now()
    assert.equal("timeout", select(3, ch:recv(1.5)))
    assert.near(1.5, native.now() - from, 1e-6)
    ch:send(1)
    assert.equal("timeout", select(3, ch:send(2, 0.5)))
    assert.near(2, native.now() - from, 1e-6)
    assert.equal(1, ch:recv(0))
    assert.equal("timeout", select(3, ch:recv(0)))
    assert.equal(0, #ch)
  end)

  it("keeps its deadline when it is woken for nothing", function()
    local ch = channel.new(1)
    local from = native.now()
    task.within({}, function()
      local slow = native.spawn(function() return ch:recv(3) end)
      native.yield()
      native.spawn(function() native.sleep(1) ch:send "stolen" ch:try_recv() end)
      local _, value, _, code = slow:join()
      assert.is_nil(value)
      assert.equal("timeout", code)
    end)
    assert.near(3, native.now() - from, 1e-6)
  end)

  describe("that is closed", function()
    it("hands out what it accepted, then says why it was closed, to everybody", function()
      local ch = channel.new(3)
      ch:send(1)
      ch:send(2)
      ch:close("the source broke", "unavailable")
      ch:close("not this", "limit")
      assert.same({ nil, "the source broke", "unavailable" }, { ch:send(3) })
      assert.same({ 1, 2 }, { ch:recv(), ch:recv() })
      for _ = 1, 2 do assert.same({ nil, "the source broke", "unavailable" }, { ch:recv() }) end
      assert.same({ nil, "the source broke", "unavailable" }, { ch:try_recv() })
      assert.same({ 1, nil, "the source broke", "unavailable" }, { channel.select { ch } })
    end)

    it("says closed when nobody gave a reason", function()
      local ch = channel.new(1)
      ch:close()
      assert.same({ nil, "the channel is closed", "closed" }, { ch:recv() })
    end)

    it("wakes everybody who waits", function()
      local full, empty, ended = channel.new(1), channel.new(1), {}
      local function note(code) ended[#ended + 1] = code end
      full:send(0)
      task.within({}, function()
        for i = 1, 3 do
          native.spawn(function() note((select(3, full:send(i)))) end)
          native.spawn(function() note((select(3, empty:recv()))) end)
          native.spawn(function() note((select(4, channel.select { empty, { full, i } }))) end)
        end
        native.yield()
        full:close()
        empty:close()
      end)
      assert.equal(9, #ended)
      for _, code in ipairs(ended) do assert.equal("closed", code) end
    end)

    it("ends an iteration, and raises in it what it was closed with", function()
      local ch, sum = channel.new(3), 0
      for i = 1, 3 do ch:send(i) end
      ch:close()
      for value in ch:items() do sum = sum + value end
      assert.equal(6, sum)
      local broken = channel.new(1)
      broken:send(1)
      broken:close("it broke", "failed")
      local got
      local ok, err = pcall(function() for value in broken:items() do got = value end end)
      assert.same({ false, 1, "failed", "it broke" }, { ok, got, err.code, err.message })
    end)

    it("is closed by a to-be-closed variable", function()
      local kept
      do
        local ch <close> = channel.new(1)
        kept = ch
      end
      assert.is_true(kept:stats().closed)
    end)
  end)

  describe("whose waiting task is cancelled", function()
    it("loses no value to it, and goes on with the next in line", function()
      local ch, got = channel.new(1), {}
      task.within({}, function()
        local first = native.spawn(function() got.first = ch:recv() end)
        native.spawn(function() got.second = ch:recv() end)
        native.yield()
        first:cancel()
        ch:send "value"
      end)
      assert.same({ second = "value" }, got)
    end)

    it("does not take the value of a sender that was cancelled", function()
      local ch = channel.new(1)
      ch:send "kept"
      task.within({}, function()
        local sender = native.spawn(function() ch:send "never" end)
        local next_sender = native.spawn(function() ch:send "next" end)
        native.yield()
        sender:cancel()
        assert.equal("kept", ch:recv())
        next_sender:join()
        assert.equal("next", ch:recv())
        assert.equal(0, #ch)
      end)
    end)

    it("gives the value to it when it was woken first, also when both happen in one turn", function()
      local ch, got = channel.new(1), nil
      task.within({}, function()
        local reader = native.spawn(function() got = ch:recv() end)
        native.yield()
        ch:send "value"
        reader:cancel()
      end)
      assert.equal("value", got)
    end)

    it("wakes the next in line when the one it woke is terminated before it could look", function()
      local ch, got = channel.new(1), nil
      task.within({}, function()
        local second
        native.spawn(function() -- ends at once with its scope still open, which terminates its tasks
          native.open_scope {}
          native.spawn(function() ch:recv() end)
          native.yield()
          second = native.spawn_root(function() got = ch:recv(10) end)
          native.yield()
          ch:send "value"
        end):join()
        second:join()
      end)
      assert.equal("value", got)
    end)

    it("is left by a select that is terminated between its wake and its turn", function()
      local left, right = channel.new(1), channel.new(1)
      task.within({}, function()
        native.spawn(function()
          native.open_scope {}
          native.spawn(function() channel.select { left, right } end)
          native.yield()
          left:send "value"
        end):join()
      end)
      collectgarbage()
      collectgarbage()
      for i = 1, 10 do
        right:send(i)
        assert.equal(i, right:recv())
      end
      assert.equal("value", left:recv())
    end)
  end)

  describe("in a select", function()
    it("gives the place and the value of the first that is ready", function()
      local a, b = channel.new(1), channel.new(1)
      b:send "b"
      assert.same({ 2, "b" }, { channel.select { a, b } })
      assert.same({ 1, true }, { channel.select { { a, "sent" }, b } })
      assert.same({ 1, "sent" }, { channel.select { a, b } })
      assert.same({ nil, "select: timeout", "timeout" }, { channel.select({ a, b }, 1) })
      assert.same({ nil, "select: timeout", "timeout" }, { channel.select({ a, b }, 0) })
    end)

    it("sends or receives one value only, and the others stay where they are", function()
      local channels = {}
      for i = 1, 8 do channels[i] = channel.new(1) end
      task.within({}, function()
        local chooser = native.spawn(function() return channel.select(channels) end)
        native.yield()
        for i = 1, 8 do channels[i]:send(i) end
        local _, index, value = chooser:join()
        assert.equal(index, value)
        local left = 0
        for _, ch in ipairs(channels) do left = left + #ch end
        assert.equal(7, left)
      end)
    end)

    it("passes a wake on that it did not need", function()
      local a, b, got = channel.new(1), channel.new(1), {}
      task.within({}, function()
        native.spawn(function() got.select = select(2, channel.select { a, b }) end)
        native.spawn(function() got.b = b:recv() end)
        native.yield()
        a:send "a"
        b:send "b" -- wakes the select, which has already been woken by a
      end)
      assert.same({ select = "a", b = "b" }, got)
    end)

    it("takes the same channel twice, to send and to receive", function()
      local ch = channel.new(1)
      assert.same({ 2, true }, { channel.select { ch, { ch, "x" } } })
      assert.same({ 1, "x" }, { channel.select { ch, { ch, "y" } } })
    end)

    it("goes by the channel's state when it was closed with a code that a select could take for its own", function()
      for _, code in ipairs { "full", "empty", "timeout", "closed" } do
        local ch = channel.new(1)
        ch:close("why", code)
        assert.same({ 1, nil, "why", code }, { channel.select({ ch }, 5) })
        assert.same({ 1, nil, "why", code }, { channel.select({ { ch, "x" } }, 5) })
      end
    end)

    it("keeps the channels it waits for, whatever becomes of the list", function()
      local list = { channel.new(1), channel.new(1) }
      local last = list[2]
      task.within({}, function()
        local chooser = native.spawn(function() return channel.select(list, 1) end)
        native.yield()
        list[1] = channel.new(1)
        collectgarbage()
        collectgarbage()
        last:send "value"
        assert.same({ true, 2, "value" }, { chooser:join() })
      end)
    end)

    it("refuses what is no list of channels", function()
      for _, cases in ipairs { {}, { 1 }, { {} }, { { 1, 2 } }, { "x" } } do
        assert.is_false((pcall(channel.select, cases)))
      end
      assert.is_false((pcall(channel.select)))
    end)
  end)

  it("is limited in capacity, policy and values", function()
    for _, arguments in ipairs { { 0 }, { -1 }, { 65537 }, { 1.5 }, { "x" }, {}, { 1, "block" } } do
      assert.is_false((pcall(channel.new, table.unpack(arguments))))
    end
    assert.equal(65536, channel.new(65536):stats().capacity)
    assert.is_false((pcall(function() channel.new(1):send(nil) end)))
    assert.is_false((pcall(function() channel.new(1):try_send() end)))
  end)

  it("lets values be collected once they were taken", function()
    local ch = channel.new(4)
    local weak = setmetatable({}, { __mode = "v" })
    for i = 1, 4 do
      weak[i] = { i }
      ch:send(weak[i])
    end
    collectgarbage()
    assert.equal(2, #{ ch:recv(), ch:recv() })
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
    assert.is_nil(weak[2])
    assert.is_table(weak[3])
  end)
end)
