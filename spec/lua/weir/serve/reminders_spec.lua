-- Questions that nobody decides, in a host that lives: it looks after them by itself, also after a time without one.

local approval = require "weir.approval"
local event_log = require "weir.event.log"
local log_of = require "weir.log"
local serve = require "weir.serve"
local support = dofile "spec/lua/weir/cli/support.lua"
local task = require "weir.task"

local ASKS = [[
local weir = require "weir"
return weir.pipeline "asks" { weir.approval "ask" { title = "Now?", who = { "ada" }, remind = "1s", escalate = { { after = "1s", to = { "bob" } } } } }
]]
-- Sends what people have to know, as a pipeline of the project would send mail.
local TELLS = [[
local weir = require "weir"
return weir.pipeline "tells" { input = { id = "string", who = "array" }, on = { { event = { type = "weir.approval.escalated" }, input = { id = "$.event.data.id", who = "$.event.data.who" } } },
  weir.step "note" { agent = "echo", input = "$.input", post = { name = "mail/${input.id}", scope = "project" } } }
]]

describe("a host with questions that nobody decides", function()
  local folder, host
  local function start()
    host = serve.start { folder = folder, store = folder .. "/store", http = false, env = function() end, logger = log_of.new { write = function() end } }
  end
  before_each(function()
    folder = support.folder()
    support.write(folder, "pipelines/asks.lua", ASKS)
    support.write(folder, "pipelines/tells.lua", TELLS)
  end)
  after_each(function()
    if host then host:stop "the spec is over" end
    support.remove(folder)
  end)

  local function eventually(holds)
    for _ = 1, 2000 do
      if holds() then return true end
      task.sleep(0.01)
    end
    return false
  end

  local function types()
    local set, count = {}, 0
    for _, entry in ipairs(event_log.page(host.store, { limit = 100 })) do
      assert.is_nil(set[entry.event.id])
      set[entry.event.id], count = true, count + 1
    end
    return set, count
  end

  it("reminds and escalates by itself, tells the feed, and starts the pipeline that sends it on", function()
    start()
    local follower = host.feed:follow { kinds = { "approval" } }
    host:carry(host.engine:start(assert(host.project:pipeline "asks"), {}))
    local event = follower:next(10)
    assert.equal("asks", event.data.pipeline)
    follower:close()
    local view = require("weir.workspace").view(host.store, {})
    local list
    assert.is_true(eventually(function()
      list = view:list { scope = "project", prefix = "mail/" }
      return #list > 0
    end))
    assert.same({ "ada", "bob" }, view:get(list[1].name, { scope = "project" }).value.who)
  end)

  it("catches up with what came while no host lived, each moment once, and goes on", function()
    start()
    host:carry(host.engine:start(assert(host.project:pipeline "asks"), {}))
    local record
    assert.is_true(eventually(function()
      record = approval.pending(host.store, {})[1]
      return record and record.ladder.reminded
    end))
    host:stop "a time without a host"
    task.sleep(2.2)
    start()
    local before = record.ladder.reminded
    assert.is_true(eventually(function() return approval.get(host.store, record.id).ladder.reminded >= before + 2 end))
    types()
  end)
end)
