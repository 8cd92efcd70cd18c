-- weir critic: past runs judged again, and critics compared with people.

local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"

local CRITIC = [[
return { kind = "critic", name = "strict", api = 1, options = { words = "integer = 3" }, review = function(ctx, draft)
  local _, words = draft.text:gsub("%S+", "")
  return { verdict = words >= ctx.options.words and "approve" or "retry", score = math.min(1, words / ctx.options.words), advice = "say more" }
end }
]]

local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "essay" { input = { text = "string" },
  weir.step "write" { agent = "echo", input = { text = "$.input.text" }, critic = { use = "strict", attempts = 1 } },
  weir.approval "publish" { show = "$.write", on_reject = "continue" },
  output = "$.write.text" }
]]

describe("weir critic", function()
  local folder
  local function weir(...) return support.host({ ... }, { cwd = folder }) end

  local function lines(...)
    local result = weir(...)
    assert.equal(0, result.status, result.stderr)
    return support.lines(result.stdout), result
  end

  local function decide(decision)
    local waiting = support.lines(weir("approvals", "--json").stdout)
    assert.equal(1, #waiting)
    weir(decision, waiting[1].id, "--json")
  end

  setup(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}")
    support.write(folder, "modules/critics/strict.lua", CRITIC)
    support.write(folder, "pipelines/essay.lua", PIPELINE)
    local function essay(text, ...)
      weir("run", "essay", "--set", "text=" .. text, "--json")
      for _, decision in ipairs { ... } do decide(decision) end
    end
    essay("one two three", "approve")      -- passed, and a person agrees
    essay("four five six", "reject")       -- passed, and a person does not
    essay("seven", "approve", "approve")   -- refused, and a person takes it; then it is shown as the person's
    essay("eight", "reject")               -- refused, as the person does
  end)
  teardown(function() support.remove(folder) end)

  it("asks the critics of past runs again, without doing a step again", function()
    local before = lines("runs", "--json")
    local found = lines("critic", "rejudge", "--json")
    assert.equal(4, #found)
    for _, one in ipairs(found) do
      assert.equal("write", one.step)
      assert.is_true(one.changed == (one.before.by ~= nil and one.before.verdict == "approve"))
    end
    assert.equal(#before, #lines("runs", "--json"))
  end)

  it("asks another critic, or the same with other options", function()
    local found = lines("critic", "rejudge", "--critic", "strict", "--options", json.encode { words = 9 }, "--step", "write", "--json")
    for _, one in ipairs(found) do assert.equal("retry", one.now.verdict) end
    assert.equal(1, #lines("critic", "rejudge", "last", "--json"))
  end)

  it("judges with the version that serves now", function()
    support.write(folder, "modules/critics/strict.lua", (CRITIC:gsub("integer = 3", "integer = 1")))
    for _, one in ipairs(lines("critic", "rejudge", "--json")) do
      assert.equal("approve", one.now.verdict)
      assert.not_equal(one.before.version, one.now.version)
    end
    support.write(folder, "modules/critics/strict.lua", CRITIC)
  end)

  it("prints a table for people", function()
    local result = weir("critic", "rejudge")
    assert.matches("^RUN +STEP +CRITIC +BEFORE +NOW", result.stdout)
    assert.matches("4 outputs judged again, 1 changed", result.stderr)
  end)

  it("tells how often each version said what people said", function()
    local rows = lines("critic", "calibration", "--json")
    assert.equal(1, #rows)
    local row = rows[1]
    assert.same({ "strict", 5, 3, 1, 1 }, { row.critic, row.count, row.agreed, row.wrongly_refused, row.wrongly_passed })
    assert.matches("^CRITIC +VERSION +DECIDED +AGREED", weir("critic", "calibration").stdout)
  end)

  it("refuses what does not belong together, and says why a critic cannot be asked", function()
    assert.equal(2, weir("critic", "calibration", "--step", "write").status)
    assert.equal(2, weir("critic", "rejudge", "--options", "{}").status)
    local found = lines("critic", "rejudge", "--critic", "strikt", "--json")
    assert.same({ "not_found", json.null }, { found[1].error.code, found[1].now })
  end)
end)
