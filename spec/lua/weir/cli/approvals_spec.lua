-- weir approvals, approve, reject. The runs are rows only: how a run waits is not theirs to know.
local approval = require "weir.approval"
local checkpoint = require "weir.native.checkpoint"
local json = require "weir.native.json"
local process = require "weir.port.process"
local resume = require "weir.cli.resume"
local support = dofile "spec/lua/weir/cli/support.lua"

local NOW = 1763824000000

-- Who the system says runs this.
local function user_name()
  local named = process.run({ "id", "-un" }, {})
  if named.status == 0 then return (named.stdout:gsub("%s+$", "")) end
  return "uid " .. process.run({ "id", "-u" }, {}).stdout:gsub("%s+$", "")
end

describe("the commands for approvals", function()
  local folder, path, original, gone_on
  before_each(function()
    folder = support.folder()
    path, gone_on = folder .. "/store", {}
    original = resume.go_on
    resume.go_on = function(context, arguments, engine, run)
      gone_on[#gone_on + 1] = { run = run, quiet = arguments.quiet, store = engine.store:path() }
      if arguments.json then context.out:line(json.encode { run = run, status = "waiting" }) end
      return 3
    end
    assert(checkpoint.open(path)):close()
  end)
  after_each(function()
    resume.go_on = original
    support.remove(folder)
  end)

  -- Asks a question of a run that is unfinished unless it is said to have ended.
  local function ask(changes)
    changes = changes or {}
    local store <close> = assert(checkpoint.open(path))
    local run = changes.run or "r_0mwt3f7rmhd548dre7li"
    local action, hash = approval.action { pipeline = changes.pipeline or "review", version = ("0"):rep(64), run = run,
      step = changes.step or "release", title = "Publish?", show = changes.show or { words = 1200 }, form = changes.form }
    local id = approval.id(run, changes.step or "release", 1, hash)
    if not store:row(run) then
      assert(store:run(run, 1):append({ "run", {} }, { status = "waiting", pipeline = "review", started_ms = NOW, ended_ms = changes.ended_ms }))
    end
    assert(store:batch(approval.ask { id = id, action = action, asked_ms = changes.asked_ms or NOW, who = changes.who, quorum = changes.quorum,
      due_ms = changes.due_ms, on_timeout = changes.on_timeout, ladder = changes.ladder }))
    return id, hash
  end

  local function run(...)
    local arguments = { ... }
    arguments[#arguments + 1] = "--store"
    arguments[#arguments + 1] = path
    return support.run(arguments)
  end

  local function kept(id)
    local store <close> = assert(checkpoint.open(path))
    return approval.get(store, id)
  end

  describe("weir approvals", function()
    it("says that nothing waits, and that there is no store", function()
      assert.same({ 0, "", "nothing waits for a decision\n" }, { run "approvals" })
      assert.same({ 0, "", "" }, { run("approvals", "--json") })
      local status, _, err = support.run { "approvals", "--store", folder .. "/none" }
      assert.equal(6, status)
      assert.matches("there is no store", err)
    end)

    it("shows of a single one the whole, and what to type", function()
      local id, hash = ask { form = { type = "object" } }
      local status, out, err = run "approvals"
      assert.equal(0, status)
      assert.matches("^ID +PIPELINE +STEP +RUN +ASKED +DUE +GIVEN +TITLE\n" .. id .. "  review +release  r_0mwt3f7rmhd548dre7li  ", out)
      assert.matches("\n  shown\n  | words: 1200\n", out, 1, true)
      assert.matches("\n  hash      " .. hash .. "\n", out, 1, true)
      assert.equal(("weir approve %s --answer JSON --store %s · weir reject %s --store %s\n"):format(id, path, id, path), err)
      assert.same({ 0, out:match "\n\n(.*)$", err }, { run("approvals", id:sub(1, 8)) })
    end)

    it("lists several, the oldest first, and shows one that is named", function()
      local ids = {}
      for index = 1, 5 do ids[index] = ask { step = "s" .. index, asked_ms = NOW - index * 1000, quorum = index } end
      local _, out, err = run "approvals"
      local seen = {}
      for id in out:gmatch "\n(a_%w+)" do seen[#seen + 1] = id end
      assert.same({ ids[5], ids[4], ids[3], ids[2], ids[1] }, seen)
      assert.matches("0 of 5", out)
      assert.not_matches("| words", out, 1, true)
      assert.matches("^weir approvals ID shows all that is asked · weir approve %-%-all %-%-as%-of %d+ decides these and none that comes later\n$", err)
      assert.matches("| words: 1200", (select(2, run("approvals", ids[3]))), 1, true)
    end)

    it("gives programs one line for each, of a run or a pipeline where that is asked", function()
      for index = 1, 450 do ask { step = "s" .. index, run = index % 2 == 0 and "r_0mwt3f7rmhd548dre7la" or "r_0mwt3f7rmhd548dre7lb",
        pipeline = index % 9 == 0 and "other" or "review" } end
      assert.equal(450, #support.lines((select(2, run("approvals", "--json")))))
      assert.equal(225, #support.lines((select(2, run("approvals", "--json", "--run", "r_0mwt3f7rmhd548dre7la")))))
      assert.equal(225, #support.lines((select(2, run("approvals", "--json", "--run", "last")))))
      assert.equal(50, #support.lines((select(2, run("approvals", "--json", "--pipeline", "other")))))
      assert.equal(6, (run("approvals", "--run", "r_zzz")))
    end)

    it("gives programs all that is asked, in the documented shape", function()
      local form = { type = "object" }
      local id, hash = ask { form = form, who = { "ada", "bob" }, quorum = 2, due_ms = NOW + 1000000000000, show = { text = ("x"):rep(5000) } }
      assert.equal(0, (run("approve", id, "--as", "ada", "--comment", "fine", "--detach")))
      local line = support.lines((select(2, run("approvals", "--json"))))[1]
      local at = line.given[1].at
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", at)
      assert.same({ id = id, run = "r_0mwt3f7rmhd548dre7li", pipeline = "review", step = "release", title = "Publish?",
        show = { text = ("x"):rep(5000) }, hash = hash, form = form, who = { "ada", "bob" }, quorum = 2, due_at = "2057-07-31T16:53:20.000Z",
        given = { { by = "ada", decision = "approve", comment = "fine", answer = {}, hash = hash, via = "cli", at = at } }, as_of = line.as_of }, line)
      assert.equal("integer", math.type(line.as_of))
      local other = support.lines((select(2, run("approvals", (ask { step = "other" }), "--json"))))[1]
      assert.same({ json.null, json.null, json.null, 1, {} }, { other.form, other.who, other.due_at, other.quorum, other.given })
    end)

    it("refuses an id that fits none, or several", function()
      ask { step = "a" }
      ask { step = "b" }
      assert.equal(2, (run("approvals", "a_")))
      assert.equal(2, (run("approvals", "r_1")))
      assert.equal(6, (run("approvals", "a_00000000000000000000")))
    end)
  end)

  describe("weir approve", function()
    it("decides, goes on with the run and ends with its status", function()
      local id = ask()
      local status, out, err = run("approve", id:sub(1, 10), "--comment", "fine", "-q")
      assert.equal(3, status)
      assert.same({ "", "" }, { out, err })
      assert.same({ { run = "r_0mwt3f7rmhd548dre7li", quiet = true, store = path } }, gone_on)
      local record, state = kept(id)
      assert.same({ "decided", "approve", user_name(), "fine", "cli" }, { state, record.decision, record.by, record.comment, record.given[1].via })
    end)

    it("says who decided what before the run goes on; with --json only the run speaks", function()
      local id = ask()
      assert.equal(id .. ": approved by ada\n", (select(3, run("approve", id, "--as", "ada"))))
      local _, out, err = run("approve", (ask { step = "other" }), "--json")
      assert.same({ run = "r_0mwt3f7rmhd548dre7li", status = "waiting" }, support.lines(out)[1])
      assert.equal("", err)
    end)

    it("decides only, with --detach, and says what goes on with the run", function()
      local id = ask()
      local status, out, err = run("approve", id, "--as", "ada", "--detach")
      assert.same({ 0, "" }, { status, out })
      assert.equal(("%s: approved by ada\n`weir resume r_0mwt3f7rmhd548dre7li --store %s` goes on with the run\n"):format(id, path), err)
      assert.same({}, gone_on)
      local line = support.lines((select(2, run("approve", (ask { step = "other" }), "--detach", "--json", "--as", "ada"))))[1]
      assert.same({ "approve", "other", "ada", line.given[1].at }, { line.decision, line.step, line.given[1].by, line.decided_at })
      assert.same({ line }, support.lines((select(2, run("approvals", line.id, "--json")))))
    end)

    it("does not go on with a run that has ended", function()
      local id = ask { run = "r_0mwt3f7rmhd548dre7lx", ended_ms = NOW }
      local status, _, err = run("approve", id, "--as", "ada")
      assert.same({ 0, id .. ": approved by ada\n", {} }, { status, err, gone_on })
    end)

    it("takes an answer as JSON and from a file, with all that does not fit named", function()
      local form = { type = "object", required = { "words", "tone" }, properties = { words = { type = "integer" }, tone = { type = "string" } } }
      local id = ask { form = form }
      local status, _, err = run("approve", id, "--answer", '{"words":"many"}')
      assert.equal(2, status)
      assert.matches("answer.tone is required .*\n *answer.words must be integer", err)
      status, _, err = run("approve", id, "--answer", "many")
      assert.equal(2, status)
      assert.matches("--answer: it is not JSON: ", err, 1, true)
      assert.equal(2, (run("approve", id, "--answer", "@" .. folder .. "/none.json")))
      assert.equal(2, (run("approve", id)))
      assert.equal("pending", select(2, kept(id)))
      local file = support.write(folder, "answer.json", '{"words":3,"tone":"dry"}')
      assert.equal(3, (run("approve", id, "--answer", "@" .. file)))
      assert.same({ words = 3, tone = "dry" }, kept(id).answer)
    end)

    it("takes an answer from stdin", function()
      local id = ask { form = { type = "string" }, ended_ms = NOW }
      local result = support.host({ "approve", id, "--answer", "-", "--store", path }, { stdin = '"yes"' })
      assert.equal(0, result.status, result.stderr)
      assert.equal("yes", kept(id).answer)
    end)

    it("takes a change of what was shown with --edit only", function()
      local id = ask()
      assert.equal(2, (run("approve", id, "--answer", "{}")))
      assert.equal(2, (run("approve", id, "--edit")))
      assert.equal(3, (run("approve", id, "--edit", "--answer", '{"words":900}')))
      local record = kept(id)
      assert.same({ "edit", { words = 900 } }, { record.decision, record.answer })
    end)

    it("counts the people of a quorum and says how many more it needs", function()
      local id = ask { quorum = 3 }
      assert.same({ 0, "", id .. ": approved by ada, 2 more have to approve\n" }, { run("approve", id, "--as", "ada") })
      assert.same({ 8 }, { (run("approve", id, "--as", "ada")) })
      assert.same({ 0, "", id .. ": approved by bob, 1 more has to approve\n" }, { run("approve", id, "--as", "bob") })
      assert.same({}, gone_on)
      assert.equal(3, (run("approve", id, "--as", "carol")))
      assert.equal(1, #gone_on)
    end)

    it("refuses what was decided, with who was first and the run", function()
      local id = ask()
      assert.equal(3, (run("reject", id, "--as", "bob")))
      local status, _, err = run("approve", id, "--as", "ada")
      assert.equal(8, status)
      assert.matches(("^weir: approval %s is decided: bob rejected it at .*Z; `weir resume r_%%w+ %%-%%-store .*` goes on with the run\n$"):format(id), err)
      local refusal = support.lines((select(2, run("approve", id, "--json"))))[1].error
      assert.same({ "conflict", "r_0mwt3f7rmhd548dre7li", "release" }, { refusal.code, refusal.run, refusal.step })
      assert.equal(1, #gone_on)
    end)

    it("refuses what is past its time, another hash, and an unknown id", function()
      local late = ask { due_ms = NOW, on_timeout = "reject", step = "late" }
      local status, _, err = run("approve", late)
      assert.equal(8, status)
      assert.matches("nobody had decided by .*its default holds; `weir resume r_", err)
      assert.equal("timeout", kept(late).decision)
      local id, hash = ask()
      status, _, err = run("approve", id, "--hash", ("0"):rep(64))
      assert.equal(8, status)
      assert.matches("what you were shown is not what is asked now", err)
      assert.equal(3, (run("approve", id, "--hash", hash)))
      assert.equal(6, (run("approve", "a_00000000000000000000")))
    end)

    it("writes out what a comment would do to a terminal", function()
      local id = ask()
      run("reject", id, "--as", "bob", "--comment", "\27[2J\u{202e}")
      assert.matches("saying '\\x1b[2J\\u{202e}'", (select(3, run("approve", id))), 1, true)
    end)
  end)

  describe("weir reject", function()
    it("needs no answer, and goes on with the run too", function()
      local id = ask { form = { type = "object", required = { "words" } } }
      local status, _, err = run("reject", id, "--as", "bob", "--comment", "too long")
      assert.same({ 3, id .. ": rejected by bob\n" }, { status, err })
      local record = kept(id)
      assert.same({ "reject", "bob", "too long" }, { record.decision, record.by, record.comment })
      assert.equal(1, #gone_on)
    end)
  end)

  describe("the groups of a project", function()
    local function in_project(settings, ...)
      support.write(folder, "weir.lua", settings)
      return support.host({ ... }, { cwd = folder })
    end

    it("say who may decide", function()
      local id = ask { who = { "ops" }, ended_ms = NOW }
      local settings = 'return { groups = { ops = { "ada", "bob" } } }'
      local result = in_project(settings, "approve", id, "--as", "eve", "--store", path)
      assert.equal(8, result.status)
      assert.matches("eve may not decide this; ops may", result.stderr)
      assert.equal(8, in_project(settings, "approve", id, "--as", "ops", "--store", path).status)
      assert.equal(0, in_project(settings, "approve", id, "--as", "bob", "--store", path).status)
    end)

    it("are lists of people, or the settings are refused", function()
      for settings, pattern in pairs {
        ['{ groups = "ops" }'] = "groups must be", ['{ groups = { ops = "ada" } }'] = "groups.ops must be",
        ["{ groups = { ops = {} } }"] = "groups.ops ", ["{ groups = { ops = { 3 } } }"] = "groups.ops%[0%] must be",
        ['{ groups = { ops = { "" } } }'] = "groups.ops%[0%]", ['{ groups = { ops = { "ada", "ada" } } }'] = "groups.ops ",
        ['{ groups = { ops = { "dev" }, dev = { "eve" } } }'] = "groups.ops names the group 'dev'; a group lists people",
        ['{ groups = { "ada" } }'] = "groups must be" } do
        local result = in_project("return " .. settings, "runs", "--store", path)
        assert.equal(2, result.status, settings)
        assert.matches(pattern, result.stderr)
        assert.matches("weir.lua: groups", result.stderr, 1, true)
      end
    end)
  end)

  describe("weir approve --all", function()
    local function as_of() return support.lines((select(2, run("approvals", "--json"))))[1].as_of end

    it("decides all that had been asked by then, and none that came later", function()
      local ids = {}
      for index = 1, 60 do ids[index] = ask { step = "s" .. index } end
      local moment = as_of()
      local late = ask { step = "late" }
      local status, _, err = run("approve", "--all", "--as-of", tostring(moment), "--as", "ada")
      assert.equal(0, status)
      assert.matches("goes on with 60 of their runs", err)
      for _, id in ipairs(ids) do assert.equal("approve", kept(id).decision) end
      assert.is_nil(kept(late).decision)
      assert.same({}, gone_on)
    end)

    it("leaves out what was changed but not asked later, such as one that was delegated", function()
      local first, second = ask { step = "a" }, ask { step = "b" }
      local moment = as_of()
      assert.equal(0, (run("approvals", "delegate", first, "--to", "zoe", "--as", "ada")))
      assert.equal(0, (run("approve", "--all", "--as-of", tostring(moment))))
      assert.same({ "approve", "approve" }, { kept(first).decision, kept(second).decision })
    end)

    it("takes those that match, and gives programs a line for each", function()
      local one, other = ask { step = "a", pipeline = "release" }, ask { step = "a", pipeline = "other" }
      local status, out = run("reject", "--all", "--matching", "pipeline=release step=a", "--as-of", tostring(as_of()), "--json", "--comment", "no")
      assert.equal(0, status)
      assert.same({ { one, "reject" } }, { { support.lines(out)[1].id, support.lines(out)[1].decision } })
      assert.is_nil(kept(other).decision)
    end)

    it("has the status of the worst, and says of each what became of it", function()
      local free, bound = ask { step = "a" }, ask { step = "b", who = { "boss" } }
      local status, _, err = run("approve", "--all", "--as-of", tostring(as_of()), "--as", "ada")
      assert.equal(8, status)
      assert.matches(bound .. ": not decided: .*ada may not decide this; boss may", err)
      assert.same({ "approve", nil }, { kept(free).decision, kept(bound).decision })
    end)

    it("needs a moment of this store, and either an id or all", function()
      local id = ask {}
      for _, arguments in ipairs { { "--all" }, { "--all", "--as-of", "999999" }, { "--all", "--as-of", "x" }, { id, "--all", "--as-of", "1" }, {},
        { id, "--as-of", "1" }, { "--all", "--as-of", "1", "--matching", "color=red" }, { "--all", "--as-of", "1", "--matching", "step=a step=b" } } do
        assert.equal(2, (run("approve", table.unpack(arguments))), table.concat(arguments, " "))
      end
      assert.is_nil(kept(id).decision)
    end)
  end)

  describe("weir approvals delegate", function()
    it("has another person decide, so long as is said", function()
      local id = ask { who = { "ada" } }
      assert.equal(8, (run("approve", id, "--as", "zoe")))
      local status, _, err = run("approvals", "delegate", id:sub(1, 10), "--to", "zoe", "--as", "ada", "--until", "3d")
      assert.same({ 0, id .. ": zoe may decide in the place of ada\n" }, { status, err })
      assert.matches("zoe in the place of ada until 2", (select(2, run("approvals", id))))
      assert.equal(2, (run("approvals", "delegate", id, "--to", "zoe", "--as", "ada", "--until", "tomorrow")))
      assert.equal(2, (run("approvals", "delegate", id)))
      assert.equal(2, (run("approvals", id, "zoe")))
      assert.equal(0, (run("approve", id, "--as", "zoe", "--detach")))
      assert.equal("ada", kept(id).given[1].on_behalf_of)
    end)
  end)

  describe("weir approvals link", function()
    it("prints a URL for one person, on the host that is named", function()
      local id = ask { who = { "ada" } }
      local status, out, err = run("approvals", "link", id, "--for", "ada", "--expires", "2d", "--url", "https://weir.example/")
      assert.equal(0, status)
      assert.matches("^https://weir%.example/decide/k_%w+%.%x+\n$", out)
      assert.matches("for ada alone, once, until 2", err)
      assert.equal(8, (run("approvals", "link", id, "--for", "mallory")))
      assert.equal(2, (run("approvals", "link", id)))
      assert.equal(1, (run("approvals", "link", id, "--for", "ada", "--expires", "90d")))
      local line = support.lines((select(2, run("approvals", "link", id, "--for", "ada", "--json"))))[1]
      assert.same({ "ada", "/decide/" }, { line["for"], line.url:sub(1, 8) })
    end)
  end)

  it("has happen what became due while no host lived, once, when somebody looks", function()
    ask { step = "a" }
    local id = ask { step = "b", who = { "ada" }, ladder = { remind = { every = 3600 }, remind_ms = NOW + 3600000,
      escalate = { { after = 60, to = { "bob" } } }, rung_ms = NOW + 60000 } }
    local _, out = run "approvals"
    assert.matches("SO FAR", out)
    assert.matches("reminded %d+, escalated 1", out)
    local first = kept(id)
    assert.same({ "ada", "bob" }, first.who)
    run "approvals"
    assert.equal(first.ladder.reminded, kept(id).ladder.reminded)
  end)
end)
