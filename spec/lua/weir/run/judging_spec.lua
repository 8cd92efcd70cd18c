-- Panels, people, budgets of drafts, critics that watch a draft while it is written.

local native = require "weir.native.scheduler"
local support = dofile "spec/lua/weir/run/support.lua"
local testing = require "weir.testing"
local weir = require "weir"

local P, S = weir.pipeline, weir.step

local function says(verdict)
  return function()
    local copy = {}
    for name, value in pairs(verdict) do copy[name] = value end
    return copy
  end
end

local APPROVE, RETRY = { verdict = "approve", score = 1 }, { verdict = "retry", score = 0.4, advice = "be brief" }

local function run(critic, critics, options)
  options = options or {}
  local drafts = 0
  options.critics = critics
  options.agents = options.agents or { writer = function(ctx)
    drafts = drafts + 1
    return { text = "draft " .. drafts, advice = ctx.feedback and ctx.feedback.advice }
  end }
  local of = testing.run(P "spec" { S "write" { agent = "writer", critic = critic }, table.unpack(options.after or {}) }, options)
  return of, drafts
end

local function verdict_of(of)
  local last
  for _, event in ipairs(of.events) do
    if event.kind == "verdict" then last = event end
  end
  return last
end

describe("a panel of critics", function()
  local function panel(critic, ...)
    local critics, uses = {}, weir.list {}
    for index, verdict in ipairs { ... } do
      critics["c" .. index] = says(verdict)
      uses[index] = { use = "c" .. index, weight = critic.weights and critic.weights[index], veto = critic.vetoes and critic.vetoes[index] }
    end
    return run({ use = uses, quorum = critic.quorum, disagreement = critic.disagreement, attempts = 1, otherwise = "fail" }, critics,
      { decisions = critic.decisions })
  end

  it("counts approvals by weight", function()
    assert.equal("finished", panel({ quorum = 3, weights = { 3, 1, 1 } }, APPROVE, RETRY, RETRY).status)
    assert.equal("failed", panel({ quorum = 3, weights = { 3, 1, 1 } }, RETRY, APPROVE, APPROVE).status)
  end)

  it("does not approve without one that has a veto", function()
    assert.equal("failed", panel({ quorum = 1, vetoes = { true } }, RETRY, APPROVE, APPROVE).status)
    assert.equal("finished", panel({ quorum = 1, vetoes = { true } }, APPROVE, RETRY, RETRY).status)
  end)

  it("has a person decide where its scores are too far apart", function()
    local far = { { verdict = "approve", score = 1 }, { verdict = "retry", score = 0.1, advice = "it is wrong" } }
    local asked
    local of = panel({ quorum = 1, disagreement = 0.5, decisions = { write = function(record)
      asked = record
      return { decision = "approve" }
    end } }, table.unpack(far))
    assert.equal("finished", of.status)
    assert.same({ "c1", "c2" }, { asked.show.drafts[1].panel[1].critic, asked.show.drafts[1].panel[2].critic })
    assert.equal("finished", panel({ quorum = 1, disagreement = 0.95 }, table.unpack(far)).status)
  end)

  it("scores by the mean of its weights, and gives all advice at once", function()
    local of = panel({ quorum = 3, weights = { 3, 1 } }, { verdict = "retry", score = 0.2, advice = "shorter" }, { verdict = "retry", score = 1, advice = "kinder" })
    local verdict = verdict_of(of)
    assert.equal(0.4, verdict.score)
    assert.equal("shorter; kinder", verdict.advice)
  end)

  it("is refused where its rules cannot hold", function()
    for critic, message in pairs { [{ use = { { use = "rubric", weight = 2 }, "agreement" }, quorum = 4 }] = "is 4, but all critics weigh 3 together",
      [{ use = "rubric", disagreement = 0.3 }] = "is of a panel; say its quorum too", [{ use = { use = "rubric", veto = true } }] = "veto is for a panel" } do
      local ok, err = pcall(run, critic, {})
      assert.is_false(ok)
      assert.matches(message, err, 1, true)
    end
  end)
end)

describe("a critic that escalates", function()
  local function escalated(decide, critic, more)
    critic = critic or { use = "judge", attempts = 2 }
    local asked = {}
    local of, drafts = run(critic, { judge = function(_, draft)
      return { verdict = "retry", score = draft.text == "draft 1" and 0.6 or 0.3, advice = "more of " .. draft.text }
    end }, { decisions = { write = function(record)
      asked[#asked + 1] = record
      return decide(record, #asked)
    end }, after = more })
    return of, asked, drafts
  end

  it("shows a person all drafts with their verdicts", function()
    local of, asked = escalated(function() return { decision = "approve" } end)
    local shown = asked[1].show.drafts
    assert.equal("finished", of.status)
    assert.same({ 2, "draft 1", "retry", 0.6, "more of draft 2" }, { #shown, shown[1].draft.text, shown[1].verdict, shown[1].score, shown[2].advice })
    assert.matches("is a draft of 'write' good enough", asked[1].title)
  end)

  it("has the best draft taken by a plain approval, another by its number, or a value in its place", function()
    local function text_after(answer) return escalated(function() return { decision = "approve", answer = answer } end).output.text end
    assert.equal("draft 1", text_after(nil))
    assert.equal("draft 2", text_after { draft = 2 })
    assert.equal("mine", text_after { value = { text = "mine" } })
  end)

  it("makes another draft with the person's advice, and asks again", function()
    local of, asked, drafts = escalated(function(_, count)
      return { decision = "approve", answer = count == 1 and { advice = "name the sea" } or { draft = 3 } }
    end)
    assert.same({ "finished", "draft 3", 3, 2 }, { of.status, of.output.text, drafts, #asked })
    assert.equal("name the sea", of.output.advice)
  end)

  it("fails with rejected when the person rejects", function()
    local of = escalated(function() return { decision = "reject", comment = "none will do", by = "ada" } end)
    assert.same({ "failed", "rejected" }, { of.status, of.error.code })
    assert.matches("ada rejected its drafts, saying 'none will do'", of.error.message)
  end)

  it("asks whom it is told, and has a default for the time when nobody answers", function()
    local of = escalated(function() return nil end, { use = "judge", attempts = 1, ask = { who = { "ada" }, timeout = "1h", on_timeout = "approve" } })
    assert.same({ "finished", "draft 1", 3600 }, { of.status, of.output.text, of.seconds })
    of = escalated(function() return nil end, { use = "judge", attempts = 1, ask = { timeout = "1h" } })
    assert.same({ "failed", "rejected" }, { of.status, of.error.code })
  end)

  it("asks at once when the verdict is escalate, whatever drafts are left", function()
    local of, drafts = run({ use = "judge", attempts = 5, otherwise = "accept_best" }, { judge = says { verdict = "escalate", score = 0.5 } },
      { decisions = { write = { decision = "approve" } } })
    assert.same({ "finished", 1 }, { of.status, drafts })
  end)

  it("waits durably, and a later life makes no draft again", function()
    local world = support.world { writer = function() return { text = "draft" } end }
    world.here.registry:put { kind = "critic", name = "judge", api = 1, options = { type = "object" }, review = says(RETRY) }
    local made = world:begin(P "spec" { S "write" { agent = "writer", critic = { use = "judge", attempts = 2 } } })
    assert.equal("waiting", world:row(made.id).status)
    world:life()
    local row = world:settle(made.id, support.actor { write = { decision = "approve", answer = { draft = 2 } } })
    assert.same({ "finished", { write = 2 } }, { row.status, world.done })
    assert.equal(1, #assert(world.store:scan("decisions", {}))) -- a person was asked once
    assert.same({}, world:left())
    world:close()
  end)

  it("asks once for each draft more that a person wants, in whichever life", function()
    local world = support.world { writer = function(ctx) return { text = ctx.feedback and ctx.feedback.advice or "first" } end }
    world.here.registry:put { kind = "critic", name = "judge", api = 1, options = { type = "object" }, review = says(RETRY) }
    local made = world:begin(P "spec" { S "write" { agent = "writer", critic = { use = "judge", attempts = 1 } } })
    local answers = { { advice = "one" }, { advice = "two" }, { draft = 3 } }
    local row = world:settle(made.id, function(of, id)
      of:life()
      for _, record in ipairs(of:questions(id)) do
        of:decide(record.id, { decision = "approve", answer = table.remove(answers, 1) })
      end
      return true
    end)
    assert.same({ "finished", { text = "two" }, 3 }, { row.status, world:ending(made.id).value, #assert(world.store:scan("decisions", {})) })
    world:close()
  end)

  it("blocks the next group until its verdict is in", function()
    local order = {}
    run({ use = "judge", attempts = 1 }, { judge = says(RETRY) }, { agents = { writer = function() return { text = "x" } end,
      next = function() order[#order + 1] = "next" return true end },
      decisions = { write = function() order[#order + 1] = "asked" return { decision = "approve" } end }, after = { S "next" { agent = "next" } } })
    assert.same({ "asked", "next" }, order)
  end)
end)

describe("critics inside of one another", function()
  it("share a budget of refused drafts, so that loops of loops end", function()
    local function nested(budget)
      local drafts = 0
      local of = testing.run(P "spec" { S "outer" { critic = { use = "never", attempts = 4, budget = budget, otherwise = "accept_best" },
        S "inner" { agent = "writer", critic = { use = "never", attempts = 4, otherwise = "accept_best" } } } },
        { agents = { writer = function() drafts = drafts + 1 return drafts end }, critics = { never = says(RETRY) } })
      assert.equal("finished", of.status)
      return drafts
    end
    assert.equal(16, nested(nil))
    assert.equal(6, nested(5)) -- the first draft, and those that followed three refusals inside, one outside, one inside
    assert.equal(1, nested(0))
  end)

  it("go on counting in a later life", function()
    local world = support.world({ writer = function() return { text = "x" } end })
    world.here.registry:put { kind = "critic", name = "never", api = 1, options = { type = "object" }, review = says(RETRY) }
    local definition = world:define(P "spec" { S "write" { agent = "writer", critic = { use = "never", attempts = 9, budget = 3, otherwise = "accept_best" } } })
    world:life(4)
    local made = world:begin(definition)
    world:life()
    local id = made and made.id or assert(world.store:runs { limit = 1 })[1].id
    world:settle(id)
    local kept = 0
    for _, entry in ipairs(world:ending(id).entries) do kept = kept + (entry[1] == "draft" and 1 or 0) end
    assert.equal(3, kept)
    world:close()
  end)
end)

describe("a critic that asks a model", function()
  it("asks the one that it is given, not that of the step", function()
    local asked = {}
    local function model(name) return function()
      asked[#asked + 1] = name
      return { message = { role = "assistant", content = name }, finish = "stop" }
    end end
    local of = testing.run(P "spec" { S "write" { agent = "writer", model = "cheap", critic = { use = { { use = "judge", model = "good" } } } } }, {
      agents = { writer = function(ctx) return { text = ctx:chat { prompt = "write" }.message.content } end },
      critics = { judge = function(ctx) return { verdict = "approve", evidence = ctx:chat { prompt = "is it good?" }.message.content } end },
      models = { cheap = model "cheap", good = model "good" }, model = "cheap" })
    assert.same({ "finished", { "cheap", "good" } }, { of.status, asked })
  end)
end)

describe("a verdict in the journal", function()
  it("names the critic, its version, the hash of its options, and its evidence", function()
    local world = support.world { writer = function() return { text = "one two three" } end }
    local made = world:begin(P "spec" { S "write" { agent = "writer", critic = { use = "rubric", options = { min_words = 2 } } } })
    local verdict
    for _, entry in ipairs(world:ending(made.id).entries) do
      if entry[1] == "step" then verdict = entry[9].verdict end
    end
    assert.same({ "approve", "rubric", { min_words = 3 } }, { verdict.verdict, verdict.critic, verdict.evidence })
    assert.matches("^%x+$", verdict.version)
    assert.matches("^%x+$", verdict.rubric)
    world:close()
  end)

  it("tells critics of one name apart", function()
    local world = support.world { writer = function() return { text = "one two three" } end }
    local made = world:begin(P "spec" { S "write" { agent = "writer", critic = { attempts = 1, otherwise = "fail", use = {
      { use = "rubric", options = { min_words = 2 } }, { use = "rubric", options = { min_words = 9 } } } } } })
    assert.matches("critic 'rubric#2'", world:ending(made.id).value.message)
    world:close()
  end)
end)

describe("a live critic", function()
  local stopped_at

  local agents = { writer = function(ctx)
    local words = ctx.feedback and "good words only" or "good words and BAD ones"
    stopped_at = nil
    local _ <close> = setmetatable({}, { __close = function() stopped_at = native.now() end })
    for _ = 1, 50 do
      ctx:emit(words .. " ")
      ctx:sleep(1)
    end
  end }

  -- Like `review` of the others, and it watches.
  local function watching(watch, review)
    return function(fields, options)
      local here = require("weir.project").open "."
      here.registry:put { kind = "critic", name = "watcher", api = 1, options = { type = "object" }, watch = watch, review = review }
      fields.use = "watcher"
      local world = support.world(options.agents or agents, { project = here, patience = 1e6, near = 1e6 })
      local made = world:begin(P "spec" { S "write" { agent = "writer", critic = fields, retry = { attempts = 2 } }, output = "$.write" })
      return world, made
    end
  end

  local function refuse_bad(_, so_far)
    if so_far:find "BAD" then return { verdict = "retry", score = 0, advice = "leave BAD out" } end
  end

  local function drafts_of(world, made)
    local list = {}
    for _, entry in ipairs(world:ending(made.id).entries) do
      if entry[1] == "draft" then list[#list + 1] = entry[3] end
    end
    return list
  end

  it("stops a draft that is already wrong, and the next has its advice", function()
    local world, made = watching(refuse_bad)({ live = { every = 1 } }, {})
    assert.equal("finished", made.status)
    assert.equal(("good words only "):rep(50), made.output)
    local drafts = drafts_of(world, made)
    assert.same({ 1, "good words and BAD ones ", "leave BAD out" }, { #drafts, drafts[1].draft, drafts[1].advice })
    world:close()
  end)

  it("counts the tokens saved against what a whole draft has, as told or as measured", function()
    local world, made = watching(refuse_bad)({ live = { every = 1, expect = 250 } }, {})
    assert.same({ made = 5, tokens = 245 }, drafts_of(world, made)[1].saved)
    made = world:begin(P "spec" { S "write" { agent = "writer", critic = { use = "watcher", live = { every = 1 } } } })
    assert.same({ made = 5, tokens = 145 }, drafts_of(world, made)[1].saved) -- the draft before came to 150 words
    world:close()
  end)

  it("lets a draft that it has nothing against come to its end, where it is reviewed", function()
    local reviewed
    local world, made = watching(function() end, function(_, draft) reviewed = draft return { verdict = "approve", score = 1 } end)({ live = true }, {})
    assert.same({ "finished", ("good words and BAD ones "):rep(50) }, { made.status, reviewed })
    world:close()
  end)

  it("does not read the whole text for every word", function()
    local asked, read = 0, 0
    local world, made = watching(function(_, so_far) asked, read = asked + 1, read + #so_far end)({ live = true }, { agents = { writer = function(ctx)
      for _ = 1, 20000 do ctx:emit "word " end
    end } })
    assert.same({ "finished", true, true }, { made.status, asked > 10 and asked < 150, read < 2000000 })
    world:close()
  end)

  it("has a person decide, or ends the step, with what there is of the draft", function()
    local world, made = watching(function() return { verdict = "abort", advice = "never" } end)({ live = { every = 1 } }, {})
    assert.same({ "failed", "rejected" }, { made.status, made.error.code })
    world:close()
    world, made = watching(function() return { verdict = "escalate" } end)({ live = { every = 1 } }, {})
    native.sleep(0)
    local row = world:settle(made.id, support.actor { write = { decision = "approve" } })
    assert.same({ "finished", "good words and BAD ones " }, { row.status, world:ending(made.id).value })
    world:close()
  end)

  it("that raises fails the step, and the draft is stopped", function()
    local world, made = watching(function() error { code = "unavailable", message = "asleep" } end)({ live = { every = 1 } }, {})
    assert.same({ "failed", "unavailable", "asleep" }, { made.status, made.error.code, made.error.message })
    assert.is_truthy(stopped_at)
    world:close()
  end)

  it("is refused on a step without a stream of an agent", function()
    local ok, message = pcall(testing.run, P "spec" { S "box" { critic = { use = "rubric", live = true }, S "a" { agent = "echo" } } }, {})
    assert.is_false(ok)
    assert.matches("a live critic watches the stream of an agent", message)
  end)
end)
