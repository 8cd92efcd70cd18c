-- Time travel in the library: what was known at a step, runs that begin with what others did.
local engine = require "weir.run.engine"
local fork = require "weir.run.fork"
local history = require "weir.run.history"
local json = require "weir.native.json"
local native = require "weir.native.scheduler"
local project = require "weir.project"
local recovery = require "weir.run.recovery"
local store_port = require "weir.port.store"
local task = require "weir.task"
local waking = require "weir.run.waking"
local weir = require "weir"

local P, G, S, M, F = weir.pipeline, weir.group, weir.step, weir.map, weir.flow

local here, store, own, calls, failing

-- Which agents fail from now on: always, or for one item.
local function agents(fail) failing = fail end

-- Agents that count their calls.
local function put_agents()
  for _, name in ipairs { "a", "b", "c", "d", "undo_it" } do
    here.registry:put { kind = "agent", name = name, api = 1, options = { type = "object" }, execute = function(_, input)
      calls[#calls + 1] = name .. (input.n and ("%d"):format(input.n) or "")
      if failing[name] and (failing[name] == true or failing[name] == input.n) then error "it fails" end
      return { by = name, got = input }
    end }
  end
end

local function within(body)
  return function()
    local ok, err = task.within({}, body)
    if not ok then error(err.message .. (err.traceback or ""), 0) end
  end
end

local function run(definition, input)
  local checked, errors = here:check(definition)
  assert(checked, errors and errors[1].message)
  local done = own:run(checked, input or {})
  calls = {}
  return done
end

local function go_on(made)
  local id = made:make { by = "ada" }
  return own:reopen(id):execute()
end

local function code_of(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  return err.code, err.message
end

local function names(list)
  local result = {}
  for index, one in ipairs(list) do result[index] = one.key end
  return result
end

before_each(function()
  native.use_virtual_clock(1, 0)
  here, store, calls = project.open ".", assert(store_port.open ":memory:"), {}
  own = engine.new(here, store, { patience = 0, near = 60 })
  failing = {}
  put_agents()
end)
after_each(function()
  store:close()
  native.use_real_clock()
end)

local CHAIN = P "chain" {
  input = { name = "string = x" },
  S "one" { agent = "a", input = { name = "$.input.name" } },
  S "two" { agent = "b", input = { from = "$.one.by" } },
  S "three" { agent = "c", input = { from = "$.two.by", name = "$.one.got.name" } },
  output = "$.three.got",
}

describe("the history of a run", function()
  it("has StepData as it was after a step, and the steps that came later", within(function()
    local done = run(CHAIN, { name = "ada" })
    local view = history.at(own, done.id, "two")
    assert.same({ input = { name = "ada" }, one = { by = "a", got = { name = "ada" } }, two = { by = "b", got = { from = "a" } } }, view.data)
    assert.same({ { key = "three", status = "finished", n = 4 } }, view.later)
    assert.same({ "two", 3, "finished" }, { view.key, view.n, view.status })
    assert.same(view.data, history.at(own, done.id, "3").data)
    assert.same({ input = { name = "ada" } }, history.at(own, done.id, "1").data)
  end))

  it("names the nearest to a step that never ran", within(function()
    local done = run(CHAIN)
    local code, message = code_of(history.at, own, done.id, "twoo")
    assert.same({ "not_found", true }, { code, message:find("did you mean 'two'?", 1, true) ~= nil })
    assert.equal("not_found", (code_of(history.at, own, done.id, "99")))
    assert.equal("not_found", (code_of(history.at, own, "r_nothing", "one")))
  end))

  it("sees what a step inside a map, a body and a child pipeline saw", within(function()
    local done = run(P "deep" {
      M "all" { over = weir.list { 7, 8 }, S "each" { agent = "a", input = { n = "$.item" } } },
      S "body" { groups = { S "inner" { agent = "b", input = { n = 1 } }, S "after" { agent = "c" } } },
      S "last" { agent = "d" },
    })
    local view = history.at(own, done.id, "all[1]/each")
    assert.same({ 8, 1, 8 }, { view.data.item, view.data.index, view.data.each.got.n })
    assert.is_nil(view.data.all)
    view = history.at(own, done.id, "body/inner")
    assert.same({ 2, "b" }, { #view.data.all, view.data.inner.by })
    assert.is_nil(view.data.body)
    assert.is_nil(history.at(own, done.id, "last").data.inner)
    assert.equal("invalid", (code_of(history.at, own, done.id, "each")))
    assert.same({ "all", "all[0]/each", "all[1]/each" }, { history.at(own, done.id, "all").key, "all[0]/each", "all[1]/each" })
  end))

  it("has the outcomes of a flow by their keys", within(function()
    local done = run(F "story" { function(ctx)
      local one = ctx:step "one" { agent = "a", input = { n = 1 } }
      ctx:group "both" { S "left" { agent = "b" }, S "right" { agent = "c" } }
      return one
    end })
    assert.equal("finished", done.status)
    local view = history.at(own, done.id, "one")
    assert.same({ input = {}, one = { by = "a", got = { n = 1 } } }, view.data)
    assert.equal("b", history.at(own, done.id, "both").data["both/left"].by)
  end))

  it("reads a run that waits, and says so of the step that does", within(function()
    local done = run(P "waits" { S "one" { agent = "a" }, weir.wait "word" { signal = "go" }, S "two" { agent = "b" } })
    assert.equal("waiting", done.status)
    local view = history.at(own, done.id, "one")
    assert.equal("a", view.data.one.by)
    assert.same({ { key = "word", status = "waiting" } }, view.later)
    assert.equal("not_found", (code_of(history.at, own, done.id, "word")))
  end))
end)

describe("a retry", function()
  it("keeps what finished, does again what failed, and says what it came from", within(function()
    agents { c = true }
    local failed = run(CHAIN, { name = "ada" })
    assert.equal("failed", failed.status)
    agents {}
    local made = fork.retry(own, failed.id)
    assert.same({ "one", "two" }, names(made:kept_list()))
    assert.same({ { key = "three", status = "failed", times = 1 } }, made.repeated)
    local again = go_on(made)
    assert.same({ "finished", { from = "b", name = "ada" } }, { again.status, again.output })
    assert.same({ "c" }, calls)
    local head = store:load(again.id)[1][2]
    assert.same({ failed.id, "retry" }, { head.of.run, head.of.kind })
    assert.equal(failed.id, store:row(again.id).of)
    assert.equal("failed", store:row(failed.id).status)
  end))

  it("goes back to a step that is named", within(function()
    local done = run(CHAIN)
    local again = go_on(fork.retry(own, done.id, { from = "two" }))
    assert.same({ "finished", { "b", "c" } }, { again.status, calls })
    calls = {}
    go_on(fork.retry(own, done.id))
    assert.same({ "a", "b", "c" }, calls)
    assert.equal("not_found", (code_of(fork.retry, own, done.id, { from = "four" })))
  end))

  it("keeps nothing under another input, unless told to", within(function()
    agents { c = true }
    local failed = run(CHAIN)
    agents {}
    local made = fork.retry(own, failed.id, { anew = true })
    made:set("input.name", "eve")
    assert.same({ from = "b", name = "eve" }, go_on(made).output)
    made = fork.retry(own, failed.id, { from = "three" })
    made:set("input.name", "bob")
    local again = go_on(made)
    assert.same({ { from = "b", name = "x" }, { name = "bob" } }, { again.output, again.input })
    made:set("input.name", 3)
    assert.equal("invalid", (code_of(made.make, made)))
  end))

  it("repeats of a map only the items that failed", within(function()
    agents { a = 3 }
    local failed = run(P "many" { M "all" { over = weir.list { 1, 2, 3, 4 }, concurrency = 4,
      S "each" { agent = "a", input = { n = "$.item" }, retry = { attempts = 2, backoff = 0.01 } } }, S "last" { agent = "b" } })
    assert.equal("failed", failed.status)
    agents {}
    local made = fork.retry(own, failed.id)
    local again = go_on(made)
    assert.equal("finished", again.status)
    assert.equal(4, #again.data.all)
    assert.equal("a3", calls[1])
    assert.equal("b", calls[2])
  end))

  it("keeps a failure that the run went on from, and a sibling of the step that failed", within(function()
    agents { b = true, d = true }
    local failed = run(P "sides" {
      S "soft" { agent = "b", optional = true },
      G "both" { S "good" { agent = "a" }, S "bad" { agent = "d" } },
    })
    assert.equal("failed", failed.status)
    agents {}
    local again = go_on(fork.retry(own, failed.id))
    assert.same({ "finished", { "d" } }, { again.status, calls })
  end))

  it("does again what was undone, and all that followed it", within(function()
    agents { c = true }
    local failed = run(P "undoes" { S "one" { agent = "a" }, S "two" { agent = "b", undo = { agent = "undo_it" } }, S "mid" { agent = "d" },
      S "three" { agent = "c" } })
    agents {}
    local made = fork.retry(own, failed.id)
    assert.same({ { "one" }, "two" }, { names(made:kept_list()), made.undone })
    go_on(made)
    assert.same({ "b", "d", "c" }, calls)
    local code, message = code_of(fork.retry, own, failed.id, { from = "three" })
    assert.same({ "conflict", true }, { code, message:find "step 'two' was undone" ~= nil })
    assert.equal("conflict", (code_of(fork.fork, own, failed.id, "mid")))
  end))

  it("of a cancelled run keeps failures it went on from, not those where it stood", within(function()
    agents { b = true, c = true }
    local checked = assert(here:check(P "stopped" {
      S "soft" { agent = "b", optional = true },
      G "both" { S "bad" { agent = "c" }, S "slow" { sleep = 50 } },
      S "last" { agent = "d" },
    }))
    local live = own:prepare(checked, {})
    task.spawn(function()
      native.sleep(1)
      live:cancel "enough"
    end)
    assert.equal("cancelled", live:execute().status)
    agents {}
    calls = {}
    local made = fork.retry(own, live.id)
    assert.same({ "soft" }, names(made:kept_list()))
    assert.same({ "finished", { "c", "d" } }, { go_on(made).status, calls })
  end))

  it("is refused for a run that has not ended", within(function()
    local waits = run(P "waits" { weir.wait "word" { signal = "go" } })
    local code, message = code_of(fork.retry, own, waits.id)
    assert.same({ "conflict", true }, { code, message:find("weir cancel", 1, true) ~= nil })
  end))

  it("neither undoes nor pays for what it keeps", within(function()
    agents { c = true }
    local definition = P "paid" { budget = { steps = 3 }, S "one" { agent = "a", undo = { agent = "undo_it" } }, S "two" { agent = "b" },
      S "three" { agent = "c" } }
    agents {}
    local done = run(definition)
    agents { c = true }
    local again = go_on(fork.retry(own, done.id, { from = "three" }))
    assert.same({ "failed", "failed", { "c" } }, { again.status, again.error.code, calls })
  end))

  it("takes a flow up where it failed, with the same draws and the outcomes it had", within(function()
    local drawn = {}
    local definition = F "story" { function(ctx)
      drawn[#drawn + 1] = ctx:random(1000000)
      local one = ctx:step "one" { agent = "a", input = { n = drawn[#drawn] } }
      return ctx:step "two" { agent = "b", input = { got = one.got.n } }
    end }
    local checked = assert(here:check(definition))
    own.kept_definition = function(_, version)
      assert.equal(checked.version, version)
      return checked
    end
    agents { b = true }
    local failed = own:run(checked, {})
    calls = {}
    agents {}
    local again = go_on(fork.retry(own, failed.id))
    assert.same({ "finished", { "b" }, drawn[1] }, { again.status, calls, drawn[2] })
  end))
end)

describe("a fork", function()
  it("keeps all up to a step, changes values, and goes on behind it", within(function()
    local done = run(CHAIN, { name = "ada" })
    local made = fork.fork(own, done.id, "two")
    assert.same({ by = "a", got = { name = "ada" } }, made:value "one")
    made:set("one.got.name", "eve")
    made:set("two.by", "me")
    made:set("input.name", "bob")
    local forked = go_on(made)
    assert.same({ { from = "me", name = "eve" }, { "c" } }, { forked.output, calls })
    assert.equal("bob", forked.input.name)
    assert.same({ from = "b", name = "ada" }, done.output)
    assert.equal("ada", store:load(done.id)[2][8].got.name)
    local entry = store:load(forked.id)[2]
    assert.same({ done.id, true }, { entry[9].kept, entry[9].edited })
  end))

  it("survives its process: what was kept is there when it is reopened", within(function()
    local done = run(CHAIN)
    local id = fork.fork(own, done.id, "two"):make()
    local other = engine.new(here, store, {})
    assert.equal("finished", recovery.go_on(other, id).status)
    assert.same({ "c" }, calls)
  end))

  it("gives a failed step an output, and refuses to keep the failure", within(function()
    agents { b = true }
    local failed = run(CHAIN)
    local made = fork.fork(own, failed.id, "two")
    local code, message = code_of(made.make, made)
    assert.same({ "invalid", true }, { code, message:find("--set two=", 1, true) ~= nil })
    made:set("two.by", "hand")
    local forked = go_on(made)
    assert.same({ "finished", "hand", { "c" } }, { forked.status, forked.output.from, calls })
  end))

  it("takes the branch that a changed output stands for", within(function()
    local done = run(P "choice" {
      S "look" { agent = "a", input = { way = "left" }, branch_label = "$.look.got.way",
        branch = { cases = { left = "left", right = "right" } } },
      S "left" { agent = "b", branch = { default = "end" } },
      S "right" { agent = "c" },
    })
    assert.same({ "finished", "left" }, { done.status, store:load(done.id)[2][9].label })
    local made = fork.fork(own, done.id, "look")
    made:set("look.got.way", "right")
    local forked = go_on(made)
    assert.same({ "finished", { "c" } }, { forked.status, calls })
  end))

  it("goes on in the middle of a map and of a group with values changed before it", within(function()
    local done = run(P "mid" {
      S "list" { agent = "a", input = { items = weir.list { 1, 2, 3 } } },
      M "all" { over = "$.list.got.items", concurrency = 1, S "each" { agent = "b", input = { n = "$.item" } } },
    })
    local made = fork.fork(own, done.id, "all[1]/each")
    made:set("list.got.items", json.list { 10, 20, 30 })
    local forked = go_on(made)
    assert.same({ "finished", { "b30" } }, { forked.status, calls })
    assert.equal(1, forked.data.all[1].got.n)
  end))

  it("at a step that never ran is not found, at one inside a group that was decided keeps the decision", within(function()
    local done = run(P "race" { G "race" { join = "any", S "quick" { agent = "a" }, S "slow" { sleep = 5 } },
      S "after" { agent = "b" } })
    assert.equal("not_found", (code_of(fork.fork, own, done.id, "nothing")))
    local forked = go_on(fork.fork(own, done.id, "after"))
    assert.same({ "finished", {} }, { forked.status, calls })
    forked = go_on(fork.fork(own, done.id, "race/quick"))
    assert.same({ "finished", { "b" } }, { forked.status, calls })
  end))

  -- Whatever a definition is made of: a fork at any entry, and a retry from any step, end as the run did.
  local WHOLE = {
    P "groups" {
      S "one" { agent = "a" },
      G "both" { S "l" { agent = "b", input = { n = 1 } }, S "r" { agent = "c", input = { x = "${run.id}" } } },
      M "all" { over = weir.list { 1, 2 }, S "each" { agent = "d", input = { n = "$.item" } } },
      output = { l = "$.l.by", all = "$.all[*].by" },
    },
    P "bodies" {
      S "outer" { groups = { S "in1" { agent = "a" }, S "in2" { agent = "b", retry = { attempts = 2, backoff = 0.01 } } },
        output = "$.in2.by" },
      M "maps" { over = weir.list { 1, 2, 3 }, concurrency = 2, S "body" { groups = { S "x" { agent = "c", input = { n = "$.item" } },
        M "inner" { over = weir.list { 1, 2 }, S "y" { agent = "d", input = { n = "$.item" } } } } } },
      output = { "$.outer", "$.maps" },
    },
    P "joins" {
      G "first" { join = "any", S "quick" { agent = "a" }, S "slow" { sleep = 60 } },
      G "some" { join = { at_least = 1 }, S "p" { agent = "b" }, S "q" { agent = "c", when = "$.quick.by == 'z'" } },
      S "last" { agent = "d", when = "$.p != null" },
      output = "$.quick.by",
    },
    P "reduced" {
      M "sum" { over = weir.list { 1, 2, 3 }, batch = 2, S "part" { agent = "a", input = { items = "$.item" } },
        reduce = { agent = "b", mode = "fold" } },
      output = "$.sum.by",
    },
    P "soft" {
      S "fails" { agent = "broken", optional = true },
      G "tries" { S "bad" { agent = "broken" }, branch = { failed = "mend" } },
      S "mend" { agent = "a", input = { code = "$.error.code" } },
      output = "$.mend.got.code",
    },
    F "story" { function(ctx)
      local one = ctx:step "one" { agent = "a", input = { n = ctx:random(1000000), at = ctx:now() } }
      local both = ctx:group "both" { S "l" { agent = "b" }, S "r" { agent = "c" } }
      local all = ctx:map "all" { over = weir.list { 1, 2 }, function(inner, item)
        return inner:step "each" { agent = "d", input = { n = item } }
      end }
      local ok = pcall(function() ctx:step "one" { agent = "broken" } end)
      return { one = one, l = both.l, count = #all, ok = ok }
    end },
  }

  for _, definition in ipairs(WHOLE) do
    it("with nothing changed ends as the run did, wherever it begins: " .. definition.name, within(function()
      here.registry:put { kind = "agent", name = "broken", api = 1, options = { type = "object" }, execute = function() error "no" end }
      local checked, errors = here:check(definition)
      assert(checked, errors and errors[1].message)
      if checked.kind == "flow" then own.kept_definition = function() return checked end end
      local done = own:run(checked, {})
      assert.equal("finished", done.status, done.error and done.error.message)
      for n, entry in ipairs(store:load(done.id)) do
        local made = fork.fork(own, done.id, ("%d"):format(n))
        if entry[1] ~= "step" or entry[4] == "finished" or entry[4] == "skipped" then
          local forked = go_on(made)
          assert.same({ "finished", done.output }, { forked.status, forked.output }, "behind entry " .. n)
        end
        if entry[1] == "step" then
          local again = go_on(fork.retry(own, done.id, { from = entry[2] }))
          assert.same({ "finished", done.output }, { again.status, again.output }, "from " .. entry[2])
        end
      end
    end))
  end

  it("sees in a child pipeline what that saw, and keeps what it did", within(function()
    local files = require "weir.port.files"
    local folder = require("weir.port.system").temporary_folder "weir-fork"
    assert(files.write(folder .. "/pipelines/inner.lua", [[
      local weir = require "weir"
      return weir.pipeline "inner" {
        weir.step "first" { agent = "a", input = { n = "$.input.n" } },
        weir.step "second" { agent = "b", input = { n = "$.first.got.n" } },
      }]], { folders = true }))
    here = project.open(folder)
    put_agents()
    own = engine.new(here, store, { patience = 0, near = 60 })
    local done = run(P "outer" { S "n" { agent = "c", input = { n = 5 } }, S "child" { pipeline = "inner", input = { n = "$.n.got.n" } },
      S "last" { agent = "d" } })
    assert.equal("finished", done.status)
    assert.same({ input = { n = 5 }, first = { by = "a", got = { n = 5 } } }, history.at(own, done.id, "child/first").data)
    local forked = go_on(fork.fork(own, done.id, "first"))
    assert.same({ "finished", { "b5", "d" } }, { forked.status, calls })
    calls = {}
    assert.equal("finished", go_on(fork.retry(own, done.id, { from = "child" })).status)
    assert.same({ "a5", "b5", "d" }, calls)
    require("weir.port.process").run({ "rm", "-rf", "--", folder }, {})
  end))

  it("is made whole even if it is longer than one transaction", within(function()
    local items = {}
    for n = 1, 9000 do items[n] = n end
    local done = run(P "long" { M "all" { over = json.list(items), concurrency = 64,
      S "each" { agent = "a", input = { n = "$.item" }, branch_label = "a label keeps each item a step of the journal" } }, S "last" { agent = "b" } })
    local made = fork.fork(own, done.id, "all")
    local broken = assert(store:new_run("r_broken", 1))
    assert(broken:append({ "run", { format = 1, version = done.plan.version, pipeline = "long", at = 1, pins = {},
      of = { run = done.id, kept = 9 } } }, { status = "quarantined", pipeline = "long", started_ms = 1 }))
    assert.equal("corrupt", (code_of(own.reopen, own, "r_broken")))
    assert.equal("cancelled", own:cancel("r_broken", "half").status)
    local id = made:make()
    assert.same({ "running", done.id }, { store:row(id).status, store:row(id).of })
    assert.equal(9002, #store:load(id))
    local forked = own:reopen(id):execute()
    assert.same({ "finished", { "b" }, 9000 }, { forked.status, calls, #forked.data.all })
  end))

  it("asks people and waits for signals anew behind the step, and keeps their answers before it", within(function()
    local definition = P "asks" {
      weir.approval "release" { title = "Go?", branch = { cases = { approve = "yes", reject = "no" } } },
      S "yes" { agent = "a", branch = { default = "end" } },
      S "no" { agent = "b" },
    }
    local asked = run(definition)
    assert.equal("waiting", asked.status)
    local question = require("weir.approval").pending(store, { run = asked.id })[1]
    assert(waking.decide(own, question.id, { decision = "approve", by = "ada", comment = "fine" }))
    local done = recovery.go_on(own, asked.id)
    calls = {}
    local forked = go_on(fork.fork(own, done.id, "release"))
    assert.same({ "finished", { "a" } }, { forked.status, calls })
    local other = fork.fork(own, done.id, "release")
    other:set("release.decision", "reject")
    calls = {}
    assert.same({ "finished", { "b" } }, { go_on(other).status, calls })
    assert.equal("waiting", go_on(fork.retry(own, done.id)).status)
  end))

  it("counts each visit of a loop for itself", within(function()
    local turns = 0
    here.registry:put { kind = "agent", name = "turn", api = 1, options = { type = "object" }, execute = function(ctx)
      turns = turns + 1
      ctx.branch = turns % 3 == 0 and "end" or "loop"
      return { turn = turns }
    end }
    local done = run(P "loops" { S "loop" { agent = "turn", branch = { max_visits = 9 } } })
    assert.same({ "finished", 3 }, { done.status, turns })
    assert.same({ 1, 2 }, { history.at(own, done.id, "loop").data.loop.turn, history.at(own, done.id, "loop#2").data.loop.turn })
    assert.same({ "loop#2", "loop#3" }, { history.at(own, done.id, "loop").later[1].key, history.at(own, done.id, "loop").later[2].key })
    turns = 1
    local forked = go_on(fork.fork(own, done.id, "loop"))
    assert.same({ "finished", 3, { turn = 3 } }, { forked.status, turns, forked.output })
  end))

  it("of a run that another one is made of lists a step that may be started once", within(function()
    local definition = P "doubtful" { S "one" { agent = "a" }, S "pay" { agent = "b", once = true, timeout = 1 } }
    here.registry:put { kind = "agent", name = "b", api = 1, options = { type = "object" }, execute = function(ctx) ctx:sleep(5) return 1 end }
    local failed = run(definition)
    assert.same({ "failed", "timeout" }, { failed.status, failed.error.code })
    local made = fork.retry(own, failed.id)
    assert.same({ { key = "pay", status = "failed", times = 1 } }, made.repeated)
  end))

  it("keeps that a step was skipped", within(function()
    local done = run(P "skips" { S "one" { agent = "a" }, S "two" { agent = "b", when = "$.one.by == 'b'" }, S "three" { agent = "c" } })
    local made = fork.fork(own, done.id, "three")
    made:set("one.by", "b")
    local forked = go_on(made)
    assert.same({ "finished", {} }, { forked.status, calls })
    assert.equal("skipped", store:load(forked.id)[3][4])
    made = fork.fork(own, done.id, "one")
    made:set("one.by", "b")
    go_on(made)
    assert.same({ "b", "c" }, calls)
    here.registry:put { kind = "agent", name = "late", api = 1, options = { type = "object" }, execute = function(ctx)
      ctx:sleep(1)
      calls[#calls + 1] = "late"
      return 1
    end }
    done = run(P "side" { S "one" { agent = "a" }, G "both" { S "l" { agent = "b", when = "$.one.by == 'b'" },
      S "r" { agent = "late" } } })
    made = fork.fork(own, done.id, "both/l")
    made:set("one.by", "b")
    assert.same({ "finished", { "late" } }, { go_on(made).status, calls })
  end))
end)
