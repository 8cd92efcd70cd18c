local approval = require "weir.approval"
local audit = require "weir.audit"
local checkpoint = require "weir.native.checkpoint"

local NOW, HOUR = 1763824000000, 3600000
local GROUPS = { ops = { "carol", "dan" }, heads = { "dan" } }

describe("people who decide", function()
  local store
  before_each(function() store = assert(checkpoint.open ":memory:") end)
  after_each(function() store:close() end)

  local function ask(changes)
    local action, hash = approval.action { pipeline = "p", version = "v", run = "r_1", step = "ask", show = 1 }
    local fields = { id = approval.id("r_1", "ask", 1, hash), action = action, asked_ms = NOW }
    for name, value in pairs(changes) do fields[name] = value end
    assert(store:batch(approval.ask(fields)))
    return fields.id
  end

  local function decide(id, by, decision, now_ms)
    return approval.decide(store, id, { decision = decision or "approve", by = by }, { groups = GROUPS, now_ms = now_ms or NOW + 1 })
  end

  local function delegate(id, by, to, more, now_ms)
    local given = { by = by, to = to, via = "cli" }
    for name, value in pairs(more or {}) do given[name] = value end
    return approval.delegate(store, id, given, { groups = GROUPS, now_ms = now_ms or NOW })
  end

  local function refused(code, pattern, result, message, got)
    assert.is_nil(result)
    assert.equal(code, got)
    assert.matches(pattern, message)
  end

  describe("with weights", function()
    it("decide when together they weigh enough", function()
      local id = ask { quorum = 3, weights = { ada = 2 }, who = { "ada", "bob", "eve" } }
      assert.same({ "open", 2 }, { select(2, decide(id, "bob")) })
      assert.equal("decided", (select(2, decide(id, "ada"))))
      local record = approval.get(store, id)
      assert.same({ nil, 2 }, { record.given[1].weight, record.given[2].weight })
    end)

    it("weigh as much as the most of their groups does, but what is said of a person goes before", function()
      local id = ask { quorum = 9, weights = { ops = 2, heads = 4, carol = 1 } }
      assert.equal(5, (select(3, decide(id, "dan"))))
      assert.equal(4, (select(3, decide(id, "carol"))))
      assert.equal(3, (select(3, decide(id, "somebody"))))
    end)

    it("reject alone, however little they weigh", function()
      local id = ask { quorum = 9, weights = { ada = 5 } }
      assert.equal("decided", (select(2, decide(id, "bob", "reject"))))
    end)
  end)

  describe("who delegate", function()
    it("have another one decide in their place, who is told apart in the record", function()
      local id = ask { who = { "ada" } }
      refused("denied", "zoe may not decide this; ada may", decide(id, "zoe"))
      assert(delegate(id, "ada", "zoe"))
      local record = assert(decide(id, "zoe"))
      assert.same({ "zoe", "ada" }, { record.by, record.given[1].on_behalf_of })
    end)

    it("may decide themselves until the other one has, and not after", function()
      local id = ask { who = { "ada", "bob" }, quorum = 2 }
      assert(delegate(id, "ada", "zoe"))
      assert.equal("open", (select(2, decide(id, "zoe"))))
      refused("denied", "zoe has decided already in the place of ada", decide(id, "ada"))
      refused("denied", "zoe has decided already", decide(id, "zoe"))
      assert.equal("decided", (select(2, decide(id, "bob"))))
    end)

    it("do not give a second voice to somebody who has one", function()
      local id = ask { who = { "ada", "bob" }, quorum = 2 }
      assert(delegate(id, "ada", "bob"))
      assert.equal("open", (select(2, decide(id, "bob"))))
      refused("denied", "bob has decided already", decide(id, "bob"))
      assert.equal("decided", (select(2, decide(id, "ada"))))
    end)

    it("lend their weight, the larger one of several, and only that one is spent", function()
      local id = ask { who = { "ada", "carol", "bob" }, quorum = 5, weights = { ada = 3, carol = 2 } }
      assert(delegate(id, "carol", "zoe"))
      assert(delegate(id, "ada", "zoe"))
      assert.equal(2, (select(3, decide(id, "zoe"))))
      assert.equal("ada", approval.get(store, id).given[1].on_behalf_of)
      assert.equal("decided", (select(2, decide(id, "carol"))))
    end)

    it("may say until when, and say it again", function()
      local id = ask { who = { "ada" } }
      assert(delegate(id, "ada", "zoe", { until_ms = NOW + HOUR }))
      refused("denied", "may not decide", decide(id, "zoe", "approve", NOW + HOUR))
      assert(delegate(id, "ada", "zoe", { until_ms = NOW + 3 * HOUR }, NOW + HOUR))
      assert.equal(1, #approval.get(store, id).delegated)
      assert(decide(id, "zoe", "approve", NOW + 2 * HOUR))
      refused("invalid", "still to come", delegate(ask { run = nil, who = { "ada" }, id = ("a_%020d"):format(1) }, "ada", "zoe", { until_ms = NOW }))
    end)

    it("must be allowed to decide; nobody passes on what was delegated, to themself, to a group, or to who began the run", function()
      local id = ask { who = { "ada", "eve" }, not_initiator = true, initiator = "eve" }
      refused("denied", "mallory may not decide", delegate(id, "mallory", "zoe"))
      refused("denied", "eve began the run", delegate(id, "eve", "zoe"))
      refused("denied", "eve began the run", delegate(id, "ada", "eve"))
      refused("invalid", "anyway", delegate(id, "ada", "ada"))
      refused("invalid", "is a group", delegate(id, "ada", "ops"))
      refused("invalid", "a name expected", delegate(id, "ada", " "))
      assert(delegate(id, "ada", "zoe"))
      refused("denied", "zoe may not decide", delegate(id, "zoe", "yann"))
    end)

    it("are told who was first when it is decided", function()
      local id = ask { who = { "ada" } }
      assert(decide(id, "ada"))
      refused("conflict", "ada approved it", delegate(id, "ada", "zoe"))
    end)

    it("stand in the audit trail, in the transaction that delegates", function()
      local id = ask { who = { "ada" } }
      assert(delegate(id, "ada", "zoe"))
      local record = audit.list(store)[1].value
      assert.same({ "ada", "cli", "delegate", id, "ada", "zoe" }, { record.by, record.via, record.action, record.what, record.from, record.to })
      refused("denied", "may not", delegate(id, "mallory", "zoe"))
      assert.equal(1, #audit.list(store))
    end)
  end)
end)
