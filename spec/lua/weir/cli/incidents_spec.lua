local support = dofile "spec/lua/weir/cli/support.lua"

local AGENT = [[return { kind = "agent", name = "reads", api = 1, execute = function(_, input)
  if input.text == "bad" then error("the text is " .. input.text) end
  return input.text
end }]]
local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "letters" {
  supervise = { { use = "thresholds", options = { ask = false, rules = {
    { when = { message = "is bad" }, remedy = "quarantine" }, { when = { code = "timeout" }, remedy = "pause_pipeline" } } } } },
  weir.map "all" { over = { "a", "bad", "c" }, weir.step "read" { agent = "reads", input = { text = "$.item" } } },
}
]]

describe("weir incidents", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}\n")
    support.write(folder, "modules/agents/reads.lua", AGENT)
    support.write(folder, "pipelines/letters.lua", PIPELINE)
  end)
  after_each(function() support.remove(folder) end)

  local function host(...) return support.host({ ... }, { cwd = folder }) end
  local function only(...) return support.lines(host(...).stdout) end

  it("lists what there was with what was done, for people and as JSON", function()
    assert.equal(0, host("run", "letters", "-q").status)
    local list = only("incidents", "--json")
    assert.equal(1, #list)
    local one = list[1]
    assert.same({ "step", "remedied", "quarantine", "letters", "all[1]/read", "agents/reads", "thresholds" },
      { one.kind, one.state, one.remedy.name, one.pipeline, one.step, one.agent, one.by })
    local text = host("incidents").stdout
    assert.match("INCIDENT +WHEN", text)
    assert.is_truthy(text:find(one.id, 1, true) and text:find("letters/all[1]/read", 1, true))
    local shown = host("incidents", "show", one.id:sub(1, 20)).stdout
    assert.is_truthy(shown:find("fingerprint", 1, true) and shown:find('set aside    {"text":"bad"}', 1, true), shown)
    assert.same({}, only("incidents", "--open", "--json"))
    assert.equal(1, #only("incidents", "--run", "last", "--json"))
  end)

  it("tries again what was set aside, once, with what the files say now", function()
    host("run", "letters", "-q")
    support.write(folder, "modules/agents/reads.lua", (AGENT:gsub('if input.text == "bad".-\n', "\n")))
    local done = host("incidents", "replay", "last", "--latest", "-q", "--json")
    assert.equal(0, done.status, done.stderr)
    local line = support.lines(done.stdout)[1]
    assert.same({ "finished", "a", "bad", "c" }, { line.status, table.unpack(line.output) })
    assert.equal(8, host("incidents", "replay", "last").status)
    assert.same({ "closed", line.run }, { only("incidents", "--json")[1].state, only("incidents", "--json")[1].replayed_as })
  end)

  it("closes a whole class, and tries it again when that is asked for", function()
    host("run", "letters", "-q")
    host("run", "letters", "-q")
    local list = only("incidents", "--json")
    assert.equal(list[1].fingerprint, list[2].fingerprint)
    support.write(folder, "modules/agents/reads.lua", (AGENT:gsub('if input.text == "bad".-\n', "\n")))
    local done = host("incidents", "close", list[1].fingerprint, "--note", "fixed", "--replay", "--latest", "-q")
    assert.equal(0, done.status, done.stderr)
    for _, one in ipairs(only("incidents", "--json")) do
      assert.equal("closed", one.state)
      assert.is_string(one.replayed_as)
    end
    assert.equal(4, #only("runs", "--json"))
    assert.equal(6, host("incidents", "close", list[1].fingerprint).status)
  end)

  it("says what a supervisor would have done, and does nothing", function()
    host("run", "letters", "-q")
    local rows = only("incidents", "rehearse", "thresholds", "--options", '{"rules":[{"remedy":"retry"}]}', "--json")
    assert.same({ 1, "quarantine", "retry", true }, { #rows, rows[1].was.remedy, rows[1].would.remedy, rows[1].is_other })
    assert.equal(1, #only("incidents", "--json"))
    assert.equal(6, host("incidents", "rehearse", "nobody").status)
    assert.equal(2, host("incidents", "rehearse", "thresholds", "--options", '{"rules":7}').status)
  end)

  it("says what cannot be done", function()
    assert.equal(6, host("incidents").status) -- there is no store yet
    host("run", "letters", "-q")
    assert.equal(6, host("incidents", "show", "i_zzz").status)
    assert.equal(8, host("incidents", "revert", "last").status)
    assert.equal(2, host("incidents", "--since", "soon").status)
    assert.equal(2, host("incidents", "show").status)
  end)
end)

describe("weir canary", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}\n")
    support.write(folder, "modules/agents/reads.lua", AGENT)
    support.write(folder, "pipelines/one.lua", [[local weir = require "weir"
return weir.pipeline "one" { weir.step "read" { agent = "reads", input = { text = "x" } } }]])
  end)
  after_each(function() support.remove(folder) end)

  local function host(...) return support.host({ ... }, { cwd = folder }) end

  it("puts what the file says on trial, and shows and ends it from one process to the next", function()
    host("run", "one", "-q")
    assert.equal(6, host("canary", "reads", "--percent", "10").status) -- nothing before it
    support.write(folder, "modules/agents/reads.lua", (AGENT:gsub("return input.text\n", 'return "new"\n')))
    local begun = host("canary", "reads", "--percent", "100", "--calls", "1000", "--json")
    assert.equal(0, begun.status, begun.stderr)
    assert.equal("new", support.lines(host("run", "one", "--json").stdout)[1].output)
    local line = support.lines(host("canary", "--json").stdout)[1]
    assert.same({ "agents/reads", "running", 100, 1, 0 }, { line.name, line.state, line.percent, line.new.ok, line.new.failed })
    assert.equal(8, host("canary", "reads", "--percent", "10").status)
    assert.equal(2, host("canary", "reads", "--promote", "--stop").status)
    assert.equal(0, host("canary", "reads", "--stop", "--why", "enough").status)
    assert.equal("x", support.lines(host("run", "one", "--json").stdout)[1].output)
    local text = host("canary", "reads").stdout
    assert.is_truthy(text:find("stopped", 1, true) and text:find("enough", 1, true), text)
    assert.equal(6, host("canary", "reads", "--promote").status)
    assert.equal(2, host("canary", "reads", "--percent", "0").status)
  end)
end)
