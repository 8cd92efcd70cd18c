local native = require "weir.native.scheduler"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"
local support = dofile "spec/lua/weir/upkeep/support.lua"
local task = require "weir.task"
local upkeep = require "weir.upkeep"
local uv = require "luv"
local waking = require "weir.run.waking"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

describe("a backup", function()
  local folder
  before_each(function() folder = support.folder() end)
  after_each(function() support.remove(folder) end)

  it("is made while runs go on; every run in it is whole, and goes on from there", function()
    local store = support.open(folder .. "/store")
    local own = support.engine(store)
    local steps = {}
    for index = 1, 40 do steps[index] = S("s" .. index) { agent = "echo", input = { text = "$.input.text" } } end
    local definition = own.project:check(P "long" { steps })
    local waiting = support.run(own, "asks")
    local begun, ended, made = 0, 0, {}
    task.within({ timeout = 60 }, function()
      for _ = 1, 8 do
        task.spawn(function()
          for _ = 1, 4 do
            native.atomic(function() begun = begun + 1 end)
            assert(own:run(definition, { text = ("x"):rep(3000) }).status == "finished")
            native.atomic(function() ended = ended + 1 end)
          end
        end)
      end
      for copy = 1, 3 do
        made[copy] = upkeep.backup(store, ("%s/copy%d"):format(folder, copy))
        native.sleep(0.005)
      end
      assert.is_true(ended < 32) -- runs were under way meanwhile
    end)
    assert.equal(32, ended)
    store:close()
    local caught = 0
    for copy = 1, 3 do
      assert.is_true(made[copy].bytes > 4096 and made[copy].seconds < 60)
      local second = support.open(("%s/copy%d"):format(folder, copy))
      assert.same({}, (select(2, second:verify())))
      caught = caught + #second:runs { status = "running" }
      local later = support.engine(second)
      recovery.all(later)
      for _, found in ipairs(second:runs { limit = 1000 }) do
        assert.equal(found.id == waiting.id and "waiting" or "finished", found.row.status, found.id)
      end
      local wait = second:row(waiting.id).waiting[1]
      assert.is_table((waking.decide(later, wait.id, { decision = "approve", by = "ada" })))
      recovery.all(later)
      assert.equal("finished", second:row(waiting.id).status)
      second:close()
    end
    assert.is_true(caught > 0)
  end)

  it("refuses what is there already, what has no folder above it, and takes no longer than it may", function()
    local store <close> = assert(store_port.open ":memory:")
    support.run(support.engine(store), "plain", { text = "x" })
    for _, case in ipairs { { "conflict", folder }, { "not_found", folder .. "/no/where" }, { "timeout", folder .. "/late", "0s" },
      { "invalid", folder .. "/odd", "soon" } } do
      local ok, err = pcall(upkeep.backup, store, case[2], { timeout = case[3] })
      assert.is_false(ok)
      assert.equal(case[1], err.code)
      assert.is_true(case[2] == folder or uv.fs_stat(case[2]) == nil)
    end
    local left = uv.fs_scandir(folder)
    assert.is_nil((uv.fs_scandir_next(left)))
  end)
end)
