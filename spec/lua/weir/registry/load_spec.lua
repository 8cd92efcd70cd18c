-- Test 108: reloads under load.

local native = require "weir.native.scheduler"
local reload = require "weir.registry.reload"
local support = dofile "spec/lua/weir/registry/support.lua"
local task = require "weir.task"
local uv = require "luv"

local RUNS, RELOADS = 200, 1000 -- at every moment; in all
local GROWTH = 2 << 20 -- bytes of resident memory that the later half may add
local AGENTS = { "ann", "ben", "cat" }
local PIPELINE = [[
local weir = require "weir"
local words = require "lib.words"
return weir.pipeline "talk" { input = { number = "integer" },
  weir.step "nap" { agent = "ann" },
  weir.group "both" { weir.step "ben" { agent = "ben" }, weir.step "cat" { agent = "cat" } },
  weir.step "last" { agent = "ann" },
  output = weir.list { words.version, "$.nap", "$.ben", "$.cat", "$.last" },
}
]]

describe("reloads under load", function()
  local place, own
  before_each(function()
    place = support.place()
    place:write("lib/words.lua", "return { version = '0' }")
    for index, name in ipairs(AGENTS) do
      place:agent(name, ("ctx:sleep(0.6 * %d + 0.2 * ctx:random()) return words.version"):format(index), "local words = require 'lib.words'")
    end
    place:write("pipelines/talk.lua", PIPELINE)
    native.use_virtual_clock(7)
  end)
  after_each(function()
    native.use_real_clock()
    place:close()
  end)

  local function save(version)
    local handle = assert(io.open(place.folder .. "/lib/words.lua", "wb"))
    handle:write(("return { version = '%d' }"):format(version))
    handle:close()
  end

  local function in_use()
    collectgarbage()
    collectgarbage()
    return uv.resident_set_memory() - own.store:stats().bytes -- of which the store is mapped
  end

  it("a thousand of a file that all agents and the pipeline share, while two hundred runs are live: each ends on one version", function()
    own = place:life({ patience = 100 })
    local registry, memory, ended, is_over = own.project.registry, {}, 0, false
    local function keep_running(number)
      repeat
        local run = own:start(assert(own.project:pipeline "talk"), { number = number })
        run:wait()
        assert.equal("finished", run.status)
        for _, version in ipairs(run.output) do assert.equal(run.output[1], version) end
        ended = ended + 1
      until is_over
    end
    local tasks = {}
    for number = 1, RUNS do tasks[number] = task.spawn(keep_running, number) end
    for number = 1, RELOADS do
      save(number)
      local report = reload.changed(registry, { place.folder .. "/lib/words.lua" })
      assert.same({}, report.failed)
      task.sleep(0.01) -- of the virtual clock: a run takes some hundred reloads
      if number % 250 == 0 then memory[#memory + 1] = in_use() end
    end
    is_over = true
    for _, one in ipairs(tasks) do assert(one:join()) end
    assert.is_true(ended > RUNS, ended)
    assert.is_true(memory[4] - memory[2] <= GROWTH, table.concat(memory, " "))
    assert.same({}, own.live)
    for _, found in ipairs(registry.versions:list()) do assert.is_true(found.active or found.pins > 0, found.name) end
    assert.is_true(#registry.versions:list() <= 2 * #AGENTS, #registry.versions:list())
  end)

  it("a run whose definition was looked up before a reload begins with what serves after it", function()
    own = place:life({ patience = 100 })
    local before = assert(own.project:pipeline "talk")
    assert.same({ "0", "0", "0", "0", "0" }, own:run(before, { number = 1 }).output)
    save(1)
    assert.same({}, reload.changed(own.project.registry, { place.folder .. "/lib/words.lua" }).failed)
    assert.same({ "1", "1", "1", "1", "1" }, own:run(before, { number = 2 }).output)
    assert.equal("invalid", require("weir.failure").of(select(2, pcall(own.run, own, before, { number = "no" }))).code)
    assert.same({}, own.live)
  end)

  it("a policy is swapped like any other module, with its state", function()
    local function policy(word)
      place:write("modules/policies/mine.lua", ([[
return { kind = "policy", name = "mine", api = 1,
  setup = function(_, old) return old or { picked = 0 } end,
  pick = function(_, _, state) state.picked = state.picked + 1 return "%s" .. state.picked end }
]]):format(word))
    end
    policy "old"
    local registry = place:open().registry
    local entry = assert(registry:lookup("policy", "mine"))
    assert.equal("old1", entry.module.pick(nil, nil, registry:state(entry, {})))
    policy "new"
    assert.equal(1, #reload.changed(registry, { place.folder .. "/modules/policies/mine.lua" }).reloaded)
    entry = assert(registry:lookup("policy", "mine"))
    assert.equal("new2", entry.module.pick(nil, nil, registry:state(entry, {})))
  end)
end)
