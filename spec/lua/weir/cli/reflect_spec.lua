-- weir reflect and weir candidates; what follows a run from the command line.
local engine = require "weir.run.engine"
local project = require "weir.project"
local store_port = require "weir.port.store"
local support = dofile "spec/lua/weir/cli/support.lua"

-- The longer the text the better, up to a limit that only an approval of a person may change.
local PIPELINE = [[
local weir = require "weir"
return weir.pipeline "wordy" {
  input = { text = "string = The tide came in. The boats rose with it. The net was full." },
  weir.step "short" { agent = "summarize", options = { words = 4, method = "lead" }, input = { text = "$.input.text" } },
  output = { words = "$.short.words" },
  reflect = {
    use = "tune", options = { vary = { { step = "short", option = "words", values = { 4, 9, 20 } } } },
    metric = "$.output.words", approve = "%s", holdout = 0.4, iterations = 4,
    examples = { { text = "One is few. Two are more. Three are a crowd." }, { text = "Rain fell. Wind rose. Ships sank." },
      { text = "He came. She saw. They won." } },
  },
}
]]

describe("weir reflect", function()
  local folder
  before_each(function()
    folder = support.folder()
    support.write(folder, "weir.lua", "return {}")
    support.write(folder, "pipelines/wordy.lua", PIPELINE:format "auto")
    support.write(folder, "pipelines/plain.lua", 'return require("weir").pipeline "plain" { require("weir").step "a" { agent = "echo" } }')
  end)
  after_each(function() support.remove(folder) end)

  local function run(...) return support.host({ ... }, { cwd = folder }) end
  local function lines(...) return support.lines(run(...).stdout) end

  it("follows a run of such a pipeline in the foreground, after its output", function()
    local result = run("run", "wordy", "--json")
    assert.equal(0, result.status, result.stderr)
    local line = support.lines(result.stdout)
    assert.equal(1, #line) -- what follows is told to people
    assert.equal("wordy", line[1].pipeline)
    assert.matches("reflected on wordy: 2 candidates, %x+ serves now in the place of %x+", result.stderr)
    local before = line[1].output.words
    assert.is_true(lines("run", "wordy", "--json")[1].output.words > before) -- what was kept serves
  end)

  it("lists candidates with their scores, and shows one with what it changes and where it stands", function()
    run("run", "wordy")
    local text = run "candidates".stdout
    assert.matches("CANDIDATE +PIPELINE +STATE +KNOWN +HELD OUT +WHAT", text)
    assert.matches("c_%w+ +wordy +kept +[%d.]+ [%d.]+ +[%d.]+ [%d.]+ +short.words from 4 to 9", text)
    local list = lines("candidates", "wordy", "--json")
    assert.same({ "kept", "kept" }, { list[1].state, list[2].state })
    local shown = run("candidates", "show", list[2].id)
    assert.matches("~ /groups/0/steps/0/options/words  9", shown.stdout, 1, true)
    assert.matches("by +rule, at ", shown.stdout)
    assert.matches("held out +[%d.]+ before, [%d.]+ after", shown.stdout)
    assert.equal(list[2].id, lines("candidates", "show", list[2].id, "--json")[1].id)
    assert.equal(6, run("candidates", "show", "c_0000").status)
    assert.equal("", run("candidates", "plain", "--json").stdout)
  end)

  it("shows in weir show what was proposed after a run, and in weir modules what serves", function()
    local id = lines("run", "wordy", "--json")[1].run
    local shown = run("show", id)
    assert.matches("kept  short.words from 4 to 9", shown.stdout, 1, true)
    assert.equal(2, #lines("show", id, "--json")[1].candidates)
    local version = lines("candidates", "--json")[1].version
    assert.matches("wordy +" .. version:sub(1, 12), run("modules").stdout)
    assert.equal(0, run("rollback", "wordy").status)
    assert.is_nil(run("modules").stdout:find(version:sub(1, 12), 1, true))
  end)

  it("is done once more by hand, for a pipeline or a run, with as many rounds as are asked for", function()
    local id = lines("run", "wordy", "--json")[1].run
    run("rollback", "wordy")
    local again = lines("reflect", "wordy", "--rounds", "1", "--json")[1]
    assert.equal("finished", again.status)
    assert.is_true(again.output.rounds <= 1)
    assert.equal(0, run("reflect", id).status)
    assert.equal(2, run("reflect", "wordy", "--rounds", "0").status)
  end)

  it("proposes and tries nothing with --dry-run", function()
    support.write(folder, "pipelines/wordy.lua", PIPELINE:format "human")
    local waiting = run("run", "wordy")
    assert.matches("Try this change of 'wordy'?", waiting.stderr, 1, true)
    local cycle = lines("runs", "--json")[1]
    assert.equal("wordy-reflection", cycle.pipeline)
    assert.equal(8, run("reflect", "wordy").status) -- one is under way
    assert.equal(0, run("cancel", cycle.run).status)
    local before = run("candidates", "--json").stdout
    local dry = run("reflect", "wordy", "--dry-run")
    assert.equal(0, dry.status)
    assert.matches("proposed: short.words from 4 to 9", dry.stderr, 1, true)
    assert.matches("~ /groups/0/steps/0/options/words  9", dry.stderr, 1, true)
    assert.equal(before, run("candidates", "--json").stdout)
  end)

  it("waits for a person where one has to approve, and goes on with weir approve", function()
    support.write(folder, "pipelines/wordy.lua", PIPELINE:format "human")
    assert.equal(0, run("run", "wordy").status)
    local question = lines("approvals", "--json")[1]
    assert.same({ "~ /groups/0/steps/0/options/words  9" }, question.show.changes)
    local result = run("approve", question.id, "--hash", question.hash)
    assert.equal(3, result.status, result.stderr) -- the next one is asked
    local list = lines("candidates", "--json")
    assert.equal("kept", list[#list].state)
  end)

  it("says that no run has finished also where many of others have", function()
    local here = project.open(folder)
    local store <close> = assert(store_port.open(folder .. "/.weir"))
    local host = engine.new(here, store)
    local runs = {}
    for index = 1, 210 do runs[index] = host:start(here:pipeline "plain", {}) end
    for _, one in ipairs(runs) do assert.equal("finished", one:wait().status) end
    host:close()
    store:close()
    local result = run("reflect", "wordy")
    assert.equal(6, result.status)
    assert.matches("no run of 'wordy' has finished yet", result.stderr, 1, true)
  end)

  it("refuses a pipeline that does not reflect, a run that has not finished, a pipeline without runs", function()
    assert.equal(6, run("reflect", "wordy").status)
    run("run", "plain")
    local result = run("reflect", "plain")
    assert.equal(2, result.status)
    assert.matches("pipeline 'plain' has no `reflect`", result.stderr, 1, true)
    assert.equal(6, run("reflect", "r_000000").status)
  end)
end)
