local approval = require "weir.approval"
local engine = require "weir.run.engine"
local files = require "weir.port.files"
local process = require "weir.port.process"
local project = require "weir.project"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"
local system = require "weir.port.system"
local waking = require "weir.run.waking"

local AGENT = [[return { kind = "agent", name = "word", api = 1, execute = function(_, input) return input.text .. " said version %d" end }]]
local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "versions" {
  weir.step "before" { agent = "word", input = { text = "before" } },
  weir.approval "ask" {},
  weir.step "after" { agent = "word", input = { text = "after %d" } },
  output = weir.list { "$.before", "$.after" },
}
]]
local FLOW = [[
local weir = require "weir"
return weir.flow "versions" { function(flow)
  local before = flow:step "before" { pipeline = "inner" }
  flow:approval "ask" {}
  flow:step "again" { pipeline = "inner" }
  return { before, flow:step "after" { agent = "word", input = { text = "after %d" } } }
end }
]]

local INNER = [[
local weir = require "weir"
return weir.pipeline "inner" { weir.step "word" { agent = "word", input = { text = "before" } } }
]]

describe("a run that is parked while files change", function()
  local folder
  before_each(function()
    folder = system.temporary_folder "weir-spec"
    assert(process.run { "mkdir", "-p", folder .. "/modules/agents", folder .. "/pipelines" })
  end)
  after_each(function() process.run { "rm", "-rf", "--", folder } end)

  local function write(text, version)
    assert(files.write(folder .. "/modules/agents/word.lua", AGENT:format(version)))
    assert(files.write(folder .. "/pipelines/versions.lua", text:format(version)))
    assert(files.write(folder .. "/pipelines/inner.lua", INNER .. "-- " .. version))
  end

  -- Another process: nothing of the one before is in its memory.
  local function life(store)
    return engine.new(project.open(folder), store, { patience = 0, near = 0 })
  end

  for name, text in pairs { ["a pipeline"] = PIPELINE, ["a flow"] = FLOW } do
    it("ends on the versions that it began with, changed three times and deleted: " .. name, function()
      write(text, 1)
      local store = assert(store_port.open(folder .. "/store"))
      local first = life(store)
      local run = first:run(assert(first.project:load(folder .. "/pipelines/versions.lua")), {})
      assert.equal("waiting", run.status)
      for version = 2, 4 do
        write(text, version)
        local other = life(store)
        local newer = other:run(assert(other.project:load(folder .. "/pipelines/versions.lua")), {})
        assert.equal("waiting", newer.status)
        recovery.all(other)
      end
      assert(process.run { "rm", "-rf", folder .. "/modules", folder .. "/pipelines" })
      store:close()
      store = assert(store_port.open(folder .. "/store"))
      local last = life(store)
      for _, record in ipairs(assert(approval.pending(store))) do assert(waking.decide(last, record.id, { decision = "approve", by = "ada" })) end
      local outputs = {}
      recovery.all(last, { on_left = function(id, ended, err)
        assert.is_nil(err, err and err.message)
        outputs[id] = ended.output
      end })
      store:close()
      assert.same({ "before said version 1", "after 1 said version 1" }, outputs[run.id])
      local versions = {}
      for _, output in pairs(outputs) do versions[#versions + 1] = output[2] end
      table.sort(versions)
      assert.same({ "after 1 said version 1", "after 2 said version 2", "after 3 said version 3", "after 4 said version 4" }, versions)
    end)
  end
end)
