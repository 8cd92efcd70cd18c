-- Two steps of a group with `any` ended, the second one before it could be cancelled, and the first one counted.
-- Gone on with, the other one was found first; neither counted then, and the step after the group was asked
-- another question.

local support = dofile "spec/lua/weir/cli/support.lua"
local store = require "weir.port.store"

local RACE = [[
local weir = require "weir"
return weir.pipeline "race" {
  weir.group "both" { join = JOIN,
    weir.step "x" { agent = "echo", input = { n = 1 } },
    weir.step "y" { agent = "echo", input = { n = 2 } },
    weir.step "z" { agent = "echo", input = { n = 3 } },
  },
  weir.step "seen" { agent = "echo", input = { x = "$.x.n?", y = "$.y.n?", z = "$.z.n?" } },
  weir.step "nap" { sleep = "1ms" },
  output = "$.seen",
}
]]

-- A journal as a former life may have left it: all three have ended, `chosen` counted, and `seen` was asked.
local function resumed(join, chosen, seen)
  local folder <close> = setmetatable({ path = support.folder() }, { __close = function(self) support.remove(self.path) end })
  support.write(folder.path, "weir.lua", "return {}")
  support.write(folder.path, "pipelines/race.lua", (RACE:gsub("JOIN", join)))
  local path = folder.path .. "/store"
  assert.equal(0, support.host({ "run", "race", "--store", path }, { cwd = folder.path }).status)
  local kept = assert(store.open(path, {}))
  local first = assert(kept:load(assert(kept:runs { limit = 1 })[1].id))[1]
  local id = "r_0000000000000000000a"
  local journal = assert(kept:run(id, 1))
  assert(journal:append(first, { status = "running", pipeline = "race", version = first[2].version, started_ms = 1 }))
  for n, name in ipairs { "z", "y", "x" } do
    local asked = store.fingerprint("agent", "agents/echo", { n = 4 - n })
    assert(journal:append { "step", "both/" .. name, asked, "finished", 1, 2, 1, { n = 4 - n } })
  end
  assert(journal:append { "choice", "both#1/joined", chosen })
  assert(journal:append { "step", "seen", store.fingerprint("agent", "agents/echo", seen), "finished", 3, 4, 1, seen })
  kept:close()
  local life = support.host({ "resume", id, "--store", path, "--json", "-q" }, { cwd = folder.path })
  local line = support.lines(life.stdout)[1]
  assert.equal("finished", line.status, life.stdout)
  return line.output
end

describe("a group of which not all steps counted, gone on with", function()
  it("has the steps that counted, whatever else had ended", function()
    assert.same({ x = 1 }, resumed('"any"', "x", { x = 1 }))
    assert.same({ y = 2 }, resumed('"any"', "y", { y = 2 }))
    assert.same({ z = 3 }, resumed('"first"', "z", { z = 3 }))
    assert.same({ x = 1, z = 3 }, resumed("{ at_least = 2 }", "z,x", { x = 1, z = 3 }))
  end)

  it("has none when none counted", function()
    assert.same({}, resumed('{ deadline = "1s" }', "", {}))
  end)
end)
