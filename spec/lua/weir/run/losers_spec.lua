-- What is left of the losers of a race, on the real clock: sockets, process groups, sleeping tasks.

local engine = require "weir.run.engine"
local native = require "weir.native.scheduler"
local outside = dofile "spec/lua/weir/run/outside.lua"
local project = require "weir.project"
local store_port = require "weir.port.store"
local task = require "weir.task"
local uv = require "luv"
local weir = require "weir"

local P, S = weir.pipeline, weir.step
local MOST = 1 -- seconds; it should be a tenth of that
local DURATION = ("1001.%d"):format(uv.os_getpid())

local function processes() return outside.processes(DURATION) end

local is_let_go

local agents = {
  http = function(ctx, input) return ctx:http { url = input.url } end,
  process = function(ctx) return ctx:process({ "sh", "-c", ("sleep %s & sleep %s & wait"):format(DURATION, DURATION) }) end,
  quick = function(ctx)
    while not is_let_go do ctx:sleep(0.002) end
    return { won = true }
  end,
}

describe("the losers of a race", function()
  it("are gone with their sockets and processes before the run goes on, and the journal has the proof", function()
    local here, server = project.open ".", outside.new_server()
    for name, execute in pairs(agents) do
      here.registry:put { kind = "agent", name = name, api = 1, options = { type = "object" }, execute = execute }
    end
    local fields = { join = "first", S "quick" { agent = "quick" } }
    for i = 1, 4 do
      fields[#fields + 1] = S("http" .. i) { agent = "http", input = { url = server.url } }
      fields[#fields + 1] = S("process" .. i) { agent = "process" }
    end
    local left
    here.registry:put { kind = "agent", name = "after", api = 1, execute = function() left = processes() return true end }
    local definition = assert(here:check(P "race" { weir.speculate "best" (fields), S "after" { agent = "after" } }))
    local store = assert(store_port.open ":memory:")
    local took
    is_let_go = false
    task.within({}, function()
      local run = engine.new(here, store):start(definition, {})
      outside.wait_until(function() return server.open == 4 and processes() == 12 end)
      local from = native.now()
      is_let_go = true
      run:wait()
      outside.wait_until(function() return server.open == 0 end)
      took = server.closed_s - from
      assert.equal("finished", run.status, run.error and run.error.message)
      local stopped, decided = {}, nil
      for _, entry in ipairs(assert(store:load(run.id))) do
        for _, part in ipairs(entry[1] == "step" and type(entry[9]) == "table" and entry[9].stopped or {}) do
          stopped[part.what] = (stopped[part.what] or 0) + part.count
          assert.is_nil(part.unseen)
        end
        if entry[1] == "choice" and entry[2] == "best/(decided)" then decided = entry[3] end
      end
      assert.same({ process = 4, request = 4 }, stopped)
      assert.is_true(decided.stopped_s < MOST, decided.stopped_s)
      print(("losers_spec: 4 open HTTP streams and 4 process groups of a race ended in %.1f ms"):format(decided.stopped_s * 1000))
    end)
    store:close()
    server:close()
    native.sleep(0.01)
    assert.equal(0, left)
    assert.is_true(took < MOST, took)
  end)
end)
