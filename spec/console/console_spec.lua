-- The console in a browser, against a host that lives. What is looked at stands in driver.mjs; needs Chromium
-- (WEIR_CHROMIUM, else /usr/bin/chromium) and playwright-core (WEIR_PLAYWRIGHT, else where .ci/peers put it), see docs/console.md.
local browser = dofile "spec/console/browser.lua"
local json = require "weir.native.json"
local support = dofile "spec/lua/weir/cli/support.lua"

local CHECKS = {
  "takes the token out of the address and keeps it for the tab",
  "says where a token comes from when there is none",
  "lists runs as they come, with counts by status, and says what a waiting run waits for",
  "keeps filters in the address",
  "lists its keys, goes to pages and moves in lists by the keyboard",
  "starts a run by its form, and remembers the input",
  "shows what a step streams as it comes, and the steps over time while they run",
  "copies a start as a command",
  "shows all about a step: input, output, attempts",
  "shows StepData as it was and the journal",
  "draws groups, branches, and the items of a map as one",
  "retries from a step, with a look at what it keeps",
  "pauses, resumes and cancels a run",
  "decides an approval with the keyboard alone",
  "tells who came too late who was first",
  "decides several at once, and none that came later",
  "shows text of a run as text, whatever it says",
  "shows a reload, what could not be loaded, what differs between two versions, and takes one back",
  "shows whether runs can be moved to another version before it moves them",
  "says how the host is, and that no schedules are set up",
  "shows what a schedule did and will do, pauses it and starts a run now",
  "lists events, gives one once more, and pauses a source",
  "lists goals, and shows one with its plans",
  "lists skills, and shows one with its trial",
  "lists incidents, and shows what was decided about one, why, and what came of it",
  "closes an incident, and lists only those that somebody has to look at",
  "takes a remedy back that holds for other runs, and tries again what failed",
  "closes all incidents of a fingerprint",
  "lists candidates, shows what one changes with its scores, and rolls back what was kept",
  "leads from a candidate that a person has to see to its question",
  "says what came of the items of a large map, which are no steps",
  "stays smooth with a run of 5,000 steps",
  "is dark where the system is, and by its own switch",
  "fits into 360 pixels",
  "says so when the host is a newer one than the page",
  "is less than 90 KB when packed",
  "asks nobody but its host",
  "gives the browser nothing to complain about",
}

local TALE = [[
local weir = require "weir"
return weir.pipeline "tale" {
  doc = "Asks before it prints.",
  input = { topic = "string = the sea", tone = { type = "string", enum = weir.list { "plain", "grand" }, default = "plain" } },
  weir.step "write" { agent = "echo", input = { text = "A tale about ${input.topic}" } },
  weir.approval "release" { title = "Print the tale?", show = { text = "$.write.text" }, timeout = "7d", on_timeout = "reject",
    form = { type = "object", properties = { title = { type = "string", minLength = 1 } }, required = weir.list { "title" } } },
  output = "${release.answer.title}: ${write.text}",
}
]]
local SPEAKING = [[
local weir = require "weir"
return weir.pipeline "speaking" {
  doc = "Says words, one by one.",
  input = { words = "integer = 5" },
  weir.step "before" { agent = "echo", input = "$.input.words" },
  weir.step "speak" { agent = "speaker", input = "$.input", stream = true, retry = { attempts = 2, backoff = "100ms" }, timeout = "5m" },
}
]]
local MANY = [[
local weir = require "weir"
return weir.pipeline "many" {
  input = { items = "string[]" },
  weir.map "each" { over = "$.input.items", concurrency = 16, weir.step "one" { agent = "echo", input = "$.item" } },
  weir.group "look" {
    weir.step "count" { agent = "said" },
    branch = { on = "count", cases = { again = "each" }, default = "send", failed = "sorry", max_visits = 2 },
  },
  weir.group "send" { weir.step "mail" { agent = "said" }, branch = { default = "end" } },
  weir.step "sorry" { agent = "said" },
}
]]
local CROWD = [[
local weir = require "weir"
return weir.pipeline "crowd" {
  input = { items = "string[]" },
  weir.map "all" { over = "$.input.items", concurrency = 16,
    weir.step "one" { agent = "echo", input = "$.item" },
    weir.step "two" { agent = "echo", input = "$.one" },
  },
}
]]
local ASKING = [[
local weir = require "weir"
return weir.pipeline "asking" { input = { what = "string" }, weir.approval "go" { title = "Send ${input.what}?" }, output = "$.go.decision" }
]]
-- A run waits between two steps, the second of which another version says anew.
local MOVING = [[
local weir = require "weir"
return weir.pipeline "moving" {
  weir.step "first" { agent = "echo", input = "one" },
  weir.wait "word" { signal = "word" },
  weir.step "second" { agent = "echo", input = "two" },
  output = "$.second",
}
]]
local FAILING = [[
local weir = require "weir"
return weir.pipeline "failing" { weir.step "read" { agent = "files", options = { mode = "read" }, input = { path = "nothing.txt" } } }
]]
local MENDING = [[
local weir = require "weir"
return weir.pipeline "mending" {
  input = { path = "string" },
  supervise = { { use = "thresholds", options = { ask = false, rules = {
    { when = { message = "asked.txt" }, remedy = "escalate", reason = "somebody has to know" },
    { when = { message = "held.txt" }, remedy = "pause_pipeline", reason = "others would fail as well" },
    { when = { code = "not_found" }, remedy = "quarantine", reason = "there is no such file" } } } } },
  weir.step "read" { agent = "files", options = { mode = "read" }, input = { path = "$.input.path" } },
}
]]
-- Its reflection proposes more words, which are better; a rule lets that pass, or a person has to see it.
local REFLECTING = [[
local weir = require "weir"
return weir.pipeline "NAME" {
  input = { text = "string = The tide came in. The boats rose with it. The net was full." },
  weir.step "short" { agent = "summarize", options = { words = 4, method = "lead" }, input = { text = "$.input.text" } },
  output = { words = "$.short.words" },
  reflect = { use = "tune", options = { vary = { { step = "short", option = "words", values = { 4, 9 } } } },
    metric = "$.output.words", approve = "APPROVE", examples = { { text = "One is few. Two are more." } } },
}
]]
-- Goes on beyond its words until there is a file named `enough`, so that nobody has to look quickly.
local SPEAKER = [[
local M = { kind = "agent", name = "speaker", api = 1 }
function M.execute(ctx, input)
  if ctx.attempt == 1 then error("the tide went out") end
  local number = 0
  repeat
    number = number + 1
    ctx:emit(("word%d "):format(number))
    ctx:sleep(0.05)
  until number >= input.words and ctx:process({ "test", "-e", "enough" }).status == 0
end
return M
]]
local SAID = [[
local M = { kind = "agent", name = "said", api = 1 }
function M.execute()
  return "first"
end
return M
]]

describe("the console in a browser", function()
  local absent = browser.missing()
  if absent then
    it("is looked at where there is a browser", function() pending(absent) end)
    return
  end

  local folder, pictures, host
  local results, said = {}, ""

  setup(function()
    folder, pictures = support.folder(), os.getenv "WEIR_PICTURES" or support.folder()
    support.write(folder, "weir.lua", 'return { listen = "127.0.0.1:0" }\n')
    for name, text in pairs { tale = TALE, speaking = SPEAKING, many = MANY, crowd = CROWD, asking = ASKING, moving = MOVING, failing = FAILING,
      mending = MENDING, wordy = REFLECTING:gsub("NAME", "wordy"):gsub("APPROVE", "auto"),
      careful = REFLECTING:gsub("NAME", "careful"):gsub("APPROVE", "human") } do
      support.write(folder, "pipelines/" .. name .. ".lua", text)
    end
    for _, name in ipairs { "report", "rainfall" } do
      local file <close> = assert(io.open(("pipelines/%s.lua"):format(name)))
      support.write(folder, ("pipelines/%s.lua"):format(name), file:read "a")
    end
    support.write(folder, "modules/agents/speaker.lua", SPEAKER)
    support.write(folder, "modules/agents/said.lua", SAID)
    host = support.start({ "dev", "--json" }, { cwd = folder })
    local line = assert(support.read_until(host.stdout, "\n"))
    local address = assert(json.decode(line:match "[^\n]+")).console
    local driven = browser.run("driver.mjs", { address, folder, pictures }, 280)
    for _, result in ipairs(support.lines(driven.stdout)) do results[result.name] = result end
    said = driven.stderr
  end)

  teardown(function()
    host:kill "sigterm"
    host:wait(20)
    support.remove(folder)
    if not os.getenv "WEIR_PICTURES" then support.remove(pictures) end
  end)

  for _, name in ipairs(CHECKS) do
    it(name, function()
      local result = results[name]
      assert.is_truthy(result, "it was not looked at: " .. said)
      assert.is_true(result.ok, result.error)
    end)
  end
end)
