local feed_of = require "weir.serve.feed"
local task = require "weir.task"

describe("a feed", function()
  local feed
  before_each(function() feed = feed_of.new { capacity = 8, boot_ms = 36 } end)

  it("gives each event an id of this life, in order", function()
    local follower = feed:follow()
    assert.equal("10-1", feed:publish("step", { run = "r" }))
    feed:publish("run", { run = "r" })
    assert.same({ id = "10-1", kind = "step", data = { run = "r" } }, follower:next())
    assert.equal("10-2", follower:next().id)
    assert.equal("10-2", feed:latest_id())
  end)

  it("has its followers wait for the next event", function()
    local follower, got = feed:follow(), nil
    local ok = task.within({}, function()
      task.spawn(function() got = follower:next() end)
      task.yield()
      assert.is_nil(got)
      feed:publish("run", { status = "finished" })
    end)
    assert.is_true(ok)
    assert.equal("finished", got.data.status)
  end)

  it("goes on after the id that was seen", function()
    for n = 1, 5 do feed:publish("n", { n = n }) end
    local follower = feed:follow { after = "10-3" }
    assert.equal(4, follower:next().data.n)
    assert.equal(5, follower:next().data.n)
    assert.same({ nil, "timeout" }, { follower:next(0) })
  end)

  it("gives only events of a run, and of kinds", function()
    local of_run, of_kind = feed:follow { run = "a" }, feed:follow { kinds = { "run" } }
    feed:publish("step", { run = "a", n = 1 })
    feed:publish("step", { run = "b", n = 2 })
    feed:publish("run", { run = "b", n = 3 })
    feed:publish("run", { run = "a", n = 4 })
    assert.equal(1, of_run:next().data.n)
    assert.equal(4, of_run:next().data.n)
    assert.equal(3, of_kind:next().data.n)
    assert.equal(4, of_kind:next().data.n)
  end)

  it("tells who was too slow of the gap, then goes on with what is left", function()
    local follower = feed:follow()
    for n = 1, 20 do feed:publish("n", { n = n }) end
    assert.same({ nil, "gap", "10-12" }, { follower:next() })
    for n = 13, 20 do assert.equal(n, follower:next().data.n) end
    assert.same({ nil, "timeout" }, { follower:next(0) })
  end)

  for name, after in pairs { ["of another life"] = "zz-3", ["that was never given"] = "10-99", ["that is none"] = "x", ["too old"] = "10-1" } do
    it(("tells of a gap for an id %s"):format(name), function()
      for n = 1, 10 do feed:publish("n", { n = n }) end
      local follower = feed:follow { after = after }
      assert.same({ nil, "gap", "10-2" }, { follower:next() })
      assert.equal(3, follower:next().data.n)
    end)
  end

  it("tells nobody of a gap who waits while others' events pass", function()
    local follower, got = feed:follow { run = "mine" }, nil
    task.within({}, function()
      local waiting = task.spawn(function() got = table.pack(follower:next()) end)
      repeat task.yield() until waiting:status() == "waiting"
      for _ = 1, 100 do feed:publish("step", { run = "other" }) end
      feed:publish("step", { run = "mine", n = 7 })
    end)
    assert.equal(7, got[1] and got[1].data.n, got[2])
  end)

  it("ends those who wait when it is closed, and when they are", function()
    local first, second, ends = feed:follow(), feed:follow(), {}
    task.within({}, function()
      for index, follower in ipairs { first, second } do
        task.spawn(function() ends[index] = table.pack(follower:next()) end)
      end
      task.yield()
      first:close()
      task.yield()
      assert.same({ nil, "closed", n = 2 }, ends[1])
      assert.is_nil(ends[2])
      feed:close()
    end)
    assert.same({ nil, "closed", n = 2 }, ends[2])
  end)

  it("says what a run notifies of, without what belongs to the run", function()
    local follower = feed:follow()
    feed:of_run({ kind = "step", step = "a", status = "failed", error = { code = "failed", message = "no", traceback = "..." } },
      { id = "r_1", plan = { name = "p" } })
    assert.same({ run = "r_1", pipeline = "p", step = "a", status = "failed", error = { code = "failed", message = "no" } },
      follower:next().data)
  end)

  it("masks what is secret in what agents log and print, and in errors", function()
    local follower, run, secret = feed:follow(), { id = "r_1", plan = { name = "p" } }, "a-secret-of-the-feed-spec"
    require("weir.log").secret(secret)
    local fields = { list = { secret, 1 } }
    feed:of_run({ kind = "log", step = "a", level = "info", text = "with " .. secret, fields = fields }, run)
    feed:of_run({ kind = "print", step = "a", text = secret .. secret }, run)
    feed:of_run({ kind = "step", step = "a", error = { code = "failed", message = "not " .. secret } }, run)
    local first = follower:next().data
    assert.same({ "with [secret]", { list = { "[secret]", 1 } } }, { first.text, first.fields })
    assert.equal("[secret][secret]", follower:next().data.text)
    assert.equal("not [secret]", follower:next().data.error.message)
    assert.equal(secret, fields.list[1])
  end)

  it("tells the items of a stream to those who follow that run, as they were then", function()
    local run, all = { id = "r_1", plan = { name = "p" } }, feed:follow()
    local function item(value) feed:of_run({ kind = "item", step = "a", item = value }, run) end
    item "unheard"
    local mine, other = feed:follow { run = "r_1" }, feed:follow { run = "r_2" }
    local kept = { word = "heard" }
    item(kept)
    kept.word = "changed"
    assert.same({ run = "r_1", pipeline = "p", step = "a", item = { word = "heard" } }, mine:next().data)
    assert.same({ word = "heard" }, all:next().data.item)
    assert.same({ nil, "timeout", n = 2 }, table.pack(other:next(0)))
    mine:close()
    mine:close()
    item "unheard again"
    assert.same({ nil, "timeout", n = 2 }, table.pack(all:next(0)))
  end)
end)
