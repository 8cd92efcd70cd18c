local approval = require "weir.approval"
local checkpoint = require "weir.native.checkpoint"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local task = require "weir.task"

local NOW = 1763824000000
local HOUR = 3600000

local function open()
  return assert(checkpoint.open ":memory:")
end

local function action_of(changes)
  local fields = { pipeline = "review", version = ("0"):rep(64), run = "r_0mwt3f7rmhd548dre7li", step = "release", title = "Publish?",
    show = { text = "the tide came in", amount = 1200 } }
  for name, value in pairs(changes or {}) do fields[name] = value end
  return approval.action(fields)
end

-- The fields of a question; what an action says can be changed as well as the rest.
local function question(changes)
  changes = changes or {}
  local action, action_hash = action_of { run = changes.run, pipeline = changes.pipeline, step = changes.step, title = changes.title,
    show = changes.show, form = changes.form, input = changes.input }
  local run = changes.run or "r_0mwt3f7rmhd548dre7li"
  local fields = { id = approval.id(run, changes.step or "release", 1, action_hash), action = action, hash = action_hash, asked_ms = NOW }
  for _, name in ipairs { "who", "not_initiator", "initiator", "quorum", "due_ms", "on_timeout", "kind" } do fields[name] = changes[name] end
  return fields
end

local function ask(store, changes)
  local fields = question(changes)
  assert(store:batch(approval.ask(fields)))
  return fields.id, fields
end

local function decide(store, id, decision, by, more, options)
  local given = { decision = decision, by = by }
  for name, value in pairs(more or {}) do given[name] = value end
  options = options or {}
  options.now_ms = options.now_ms or NOW + 1
  return approval.decide(store, id, given, options)
end

local function assert_refused(code, pattern, result, message, got)
  assert.is_nil(result)
  assert.equal(code, got, message)
  assert.matches(pattern, message)
end

describe("the id of an approval", function()
  it("is the same for the same question, and of the form of every id", function()
    local id = approval.id("r_1", "a/b", 1, ("0"):rep(64))
    assert.equal(id, approval.id("r_1", "a/b", 1, ("0"):rep(64)))
    assert.matches("^a_[0-9a-z]+$", id)
    assert.equal(22, #id)
    assert.equal("a_5ard4xtis4uc2bcq91bt", approval.id("r_1", "release", 1, hash.sha256 "x")) -- stores depend on it
    assert.matches("^a_0mwt3f7rm", approval.id("r_0mwt3f7rmhd548dre7li", "release", 1, hash.sha256 "x")) -- they sort as their runs
  end)

  it("is another for another run, place, visit or action", function()
    local seen, count = {}, 0
    for run = 1, 10 do
      for step = 1, 10 do
        for visit = 1, 10 do
          for action = 1, 5 do
            seen[approval.id("r_" .. run, "s" .. step, visit, hash.sha256(tostring(action)))] = true
            count = count + 1
          end
        end
      end
    end
    for id in pairs(seen) do
      assert.equal(22, #id)
      count = count - 1
    end
    assert.equal(0, count)
    assert.not_equal(approval.id("r_1", "ab", 1, "c"), approval.id("r_1a", "b", 1, "c"))
  end)
end)

describe("an action", function()
  it("is canonical: one text for one value", function()
    local a, a_hash = action_of { show = { b = 1, a = { true, 2.5, "é" } } }
    local b, b_hash = action_of { show = { a = { true, 2.5, "é" }, b = 1 } }
    assert.equal(a, b)
    assert.equal(a_hash, b_hash)
    assert.equal(a_hash, hash.sha256(a))
    assert.equal(a, json.encode(json.decode(a), { canonical = true }))
    assert.matches('^{"pipeline":"review","run":"r_', a)
  end)

  it("has another hash as soon as anything that is asked changes", function()
    local seen, original = {}, select(2, action_of())
    for name, value in pairs { pipeline = "other", version = "1", run = "r_2", step = "other", title = "Publish!", show = { amount = 1201 },
      form = { type = "object" }, input = {} } do
      local changed = select(2, action_of { [name] = value })
      assert.not_equal(original, changed, name)
      assert.is_nil(seen[changed])
      seen[changed] = true
    end
    assert.not_equal(select(2, action_of { show = 1 }), select(2, action_of { show = 1.0 }))
    assert.not_equal(select(2, action_of { show = "1" }), select(2, action_of { show = 1 }))
    assert.not_equal(select(2, action_of { show = { a = 1 } }), select(2, action_of { show = '{"a":1}' }))
  end)

  it("refuses what cannot be written down", function()
    assert_refused("invalid", "approval 'release': at .show: .* not UTF%-8", action_of { show = "\255" })
    assert_refused("invalid", "approval 'release'", action_of { show = { print } })
    assert_refused("limit", "approval 'release'", action_of { show = ("x"):rep(9 << 20) })
    assert.has_error(function() action_of { colour = "red" } end, "an action has no field 'colour'")
    assert.has_error(function() action_of { title = 3 } end, "action: title: text expected")
    assert.has_error(function() approval.action { pipeline = "p" } end, "action: version: text expected")
  end)
end)

describe("a question", function()
  it("is kept with the text that was hashed, and read from it", function()
    local store <close> = open()
    local form = { type = "object", properties = { words = { type = "integer" } } }
    local id, fields = ask(store, { form = form, who = { "ada" }, due_ms = NOW + HOUR, on_timeout = "reject", initiator = "bob" })
    local record, state = approval.get(store, id)
    assert.equal("pending", state)
    assert.same({ id = id, action = fields.action, hash = fields.hash, run = "r_0mwt3f7rmhd548dre7li", pipeline = "review", step = "release",
      version = ("0"):rep(64), title = "Publish?", show = { text = "the tide came in", amount = 1200 }, form = form, who = { "ada" },
      initiator = "bob", quorum = 1, asked_ms = NOW, due_ms = NOW + HOUR, on_timeout = "reject", kind = "approval", given = {},
      first_lsn = record.first_lsn }, record)
    assert.equal("integer", math.type(record.first_lsn))
  end)

  it("leaves no byte for what is absent, usual, or said by the action", function()
    local _, fields = ask(open(), { quorum = 1, kind = "approval", not_initiator = false })
    local kept = approval.ask(fields)[1].value
    assert.same({ action = fields.action, asked_ms = NOW }, kept)
  end)

  it("asked again changes nothing, pending or decided, whatever else stands in the batch", function()
    local store <close> = open()
    local id, fields = ask(store)
    local function again()
      local operations = approval.ask(fields)
      table.insert(operations, 1, { op = "put", space = "else", key = "k", value = 1 })
      return store:batch(operations)
    end
    decide(store, id, "approve", "ada", nil, {})
    assert.equal("conflict", select(3, again()))
    assert.equal("decided", select(2, approval.get(store, id)))
    assert.equal("not_found", select(3, store:get("approvals", id)))
    local second, more = ask(store, { step = "other", quorum = 2 })
    decide(store, second, "approve", "ada")
    assert.equal("conflict", select(3, store:batch(approval.ask(more))))
    assert.equal(1, #approval.get(store, second).given)
    assert.equal("not_found", select(3, store:get("else", "k")))
  end)

  it("is refused as the caller's mistake when its fields are wrong", function()
    local function changed(name, value)
      local fields = question()
      fields[name] = value
      return function() approval.ask(fields) end
    end
    for _, case in ipairs {
      { "id", "a_1", "approval: id: one of approval.id expected" }, { "action", "{", "approval: action: " },
      { "action", "[]", "approval: action: pipeline: text expected" },
      { "action", '{"given":[]}', "approval: action: no field 'given' is known" },
      { "hash", ("0"):rep(64), "approval: hash: it is not that of the action" }, { "run", "r_2", "approval: run: the action says another one" },
      { "title", "Fine?", "approval: title: the action says another one" }, { "kind", "doubt", "approval: kind: " },
      { "on_timeout", "escalate", "approval: on_timeout: " }, { "quorum", 0, "approval: quorum: " }, { "due_ms", 1.5, "approval: due_ms: " },
      { "not_initiator", true, "approval: not_initiator: needs an initiator" } } do
      local ok, message = pcall(changed(case[1], case[2]))
      assert.is_false(ok, case[1])
      assert.matches(case[3], message, 1, true)
    end
  end)
end)

describe("approvals in a store", function()
  it("are found by the beginning of their id, pending or decided", function()
    local store <close> = open()
    local ids = {}
    for index = 1, 40 do ids[index] = ask(store, { step = "s" .. index }) end
    for index = 1, 40, 2 do assert(decide(store, ids[index], "approve", "ada")) end
    for index, id in ipairs(ids) do
      local record, state = approval.get(store, id:sub(1, 18))
      assert.equal(id, record.id)
      assert.equal(index % 2 == 1 and "decided" or "pending", state)
    end
    assert_refused("invalid", "fits more than one approval, such as a_%w+ and a_%w+", approval.get(store, "a_"))
    assert_refused("not_found", "there is no approval 'a_00000000000000000000'", approval.get(store, "a_00000000000000000000"))
    assert_refused("not_found", "there is no approval 'a_zzzzzzzz'", approval.get(store, "a_zzzzzzzz"))
    for _, given in ipairs { "r_1", "last", "", "a_X", ids[1] .. "0" } do
      assert_refused("invalid", "is no approval", approval.get(store, given))
    end
  end)

  it("are listed by run and pipeline, page by page, as long as they wait", function()
    local store <close> = open()
    local wanted = {}
    for index = 1, 450 do
      local id = ask(store, { step = "s" .. index, run = index % 3 == 0 and "r_a" or "r_b", pipeline = index % 5 == 0 and "p" or "q" })
      if index % 3 == 0 and index % 5 == 0 then wanted[#wanted + 1] = id end
    end
    table.sort(wanted)
    local found, after = {}, nil
    repeat
      local page = assert(approval.pending(store, { run = "r_a", pipeline = "p", limit = 7, after = after }))
      for _, record in ipairs(page) do found[#found + 1] = record.id end
      after = page[#page] and page[#page].id
    until #page < 7
    assert.same(wanted, found)
    assert.equal(100, #approval.pending(store))
    assert.equal(450, #approval.pending(store, { limit = 1000 }))
    assert(decide(store, wanted[1], "reject", "ada"))
    assert.equal(#wanted - 1, #approval.pending(store, { run = "r_a", pipeline = "p" }))
  end)
end)

describe("a decision", function()
  it("moves the question, with who decided what, when, and through which door", function()
    local store <close> = open()
    local id, fields = ask(store)
    local record, state = decide(store, id, "approve", "ada", { comment = "fine", hash = fields.hash, via = "cli" })
    assert.equal("decided", state)
    assert.same({ { by = "ada", decision = "approve", comment = "fine", hash = fields.hash, via = "cli", at_ms = NOW + 1 } }, record.given)
    assert.same({ "approve", "ada", "fine", NOW + 1 }, { record.decision, record.by, record.comment, record.at_ms })
    assert.equal("not_found", select(3, store:get("approvals", id)))
    assert.same({ record, "decided" }, { approval.get(store, id) })
  end)

  it("is refused once another was first, whose it was is told", function()
    local store <close> = open()
    local id = ask(store)
    local first = decide(store, id, "reject", "bob", { comment = "too long" })
    for _, decision in ipairs { "approve", "reject" } do
      local record, message, code, winner = decide(store, id, decision, "ada")
      assert_refused("conflict", "^approval a_%w+ is decided: bob rejected it at 2025%-11%-22T15:06:40.001Z, saying 'too long'$", record,
        message, code)
      assert.same(first, winner)
    end
    assert.same(first, select(4, approval.expire(store, id, NOW + HOUR)))
    assert.same(first, select(4, approval.cancel(store, id, "run cancelled", NOW + HOUR)))
    assert.same(first, (approval.get(store, id)))
  end)

  it("is refused when the approval is unknown", function()
    local store <close> = open()
    local id = question().id
    assert_refused("not_found", id, decide(store, id, "approve", "ada"))
    assert_refused("not_found", id, approval.expire(store, id, NOW))
    assert_refused("not_found", id, approval.cancel(store, id, "x", NOW))
  end)

  it("is refused when something else was shown than is asked now", function()
    local store <close> = open()
    local id, fields = ask(store)
    local _, shown_hash = action_of { show = { text = "the tide came in", amount = 12 } }
    assert_refused("conflict", "what you were shown is not what is asked now", decide(store, id, "approve", "ada", { hash = shown_hash }))
    assert_refused("conflict", "what you were shown", decide(store, id, "approve", "ada", { hash = fields.hash:upper() }))
    assert.equal("pending", select(2, approval.get(store, id)))
    assert.equal("decided", select(2, decide(store, id, "approve", "ada", { hash = fields.hash })))
  end)

  it("has to have a decision, a name and text", function()
    local store <close> = open()
    local id = ask(store)
    assert_refused("invalid", "approve, reject or edit expected, got 'yes'", decide(store, id, "yes", "ada"))
    assert_refused("invalid", "got 'timeout'", decide(store, id, "timeout", "ada"))
    assert_refused("invalid", "^by: ", decide(store, id, "approve", nil))
    assert_refused("invalid", "^by: ", decide(store, id, "approve", " "))
    assert_refused("invalid", "^by: ", decide(store, id, "approve", ("x"):rep(300)))
    assert_refused("invalid", "^comment: ", decide(store, id, "approve", "ada", { comment = "\255" }))
    assert.equal(0, #approval.get(store, id).given)
  end)

  it("carries the operations of its caller, or is not made", function()
    local store <close> = open()
    local id = ask(store)
    local journal = store:run("r_1", 1)
    local function operations(record)
      return { { op = "entry", journal = journal, entry = { "decided", record.id, record.decision, record.by } } }
    end
    local newer = store:run("r_1", 2)
    assert_refused("conflict", "epoch", decide(store, id, "approve", "ada", nil, { operations = operations }))
    assert.equal("pending", select(2, approval.get(store, id)))
    journal = newer
    assert(decide(store, id, "approve", "ada", nil, { operations = operations }))
    assert.same({ { "decided", id, "approve", "ada" } }, (store:load "r_1"))
  end)
end)

describe("who may decide", function()
  local groups = { ops = { "ada", "bob" }, dev = { "eve" } }

  it("are the people named, and the members of the groups named", function()
    local store <close> = open()
    local id = ask(store, { who = { "ops", "carol" } })
    for _, by in ipairs { "eve", "ops", "Ada", "mallory" } do
      assert_refused("denied", by .. " may not decide this; ops, carol may", decide(store, id, "approve", by, nil, { groups = groups }))
    end
    assert_refused("denied", "ada may not decide", decide(store, id, "approve", "ada", nil, { groups = {} }))
    assert.equal("decided", select(2, decide(store, id, "approve", "bob", nil, { groups = groups })))
    local second = ask(store, { who = { "ops", "carol" }, step = "other" })
    assert.equal("decided", select(2, decide(store, second, "reject", "carol", nil, { groups = groups })))
  end)

  it("is not who began the run, where that is said", function()
    local store <close> = open()
    local id = ask(store, { not_initiator = true, initiator = "ada" })
    assert_refused("denied", "ada began the run, so somebody else has to decide", decide(store, id, "approve", "ada"))
    assert_refused("denied", "ada began the run", decide(store, id, "reject", "ada"))
    assert.equal("decided", select(2, decide(store, id, "approve", "bob")))
    local own = ask(store, { initiator = "ada", step = "other" })
    assert.equal("decided", select(2, decide(store, own, "approve", "ada")))
  end)
end)

describe("an answer", function()
  local form = { type = "object", additionalProperties = false, required = { "words", "tone" },
    properties = { words = { type = "integer", minimum = 1 }, tone = { enum = { "dry", "warm" } }, copies = { type = "integer", default = 1 } } }

  it("has to fit the form; all that does not is named at once", function()
    local store <close> = open()
    local id = ask(store, { form = form })
    local _, message, code = decide(store, id, "approve", "ada", { answer = { words = 0, colour = "red" } })
    assert.equal("invalid", code)
    for _, part in ipairs { "answer.words", "answer.tone is required", "answer.colour" } do
      assert.is_truthy(message:find(part, 1, true), message)
    end
    assert_refused("invalid", "answer.words is required", decide(store, id, "approve", "ada"))
    assert_refused("invalid", "answer.tone", decide(store, id, "edit", "ada", { answer = { words = 3 } }))
    assert_refused("invalid", "answer.words", decide(store, id, "reject", "ada", { answer = { words = "many" } }))
    assert.equal(0, #approval.get(store, id).given)
    local record = decide(store, id, "approve", "ada", { answer = { words = 3, tone = "dry" } })
    assert.same({ words = 3, tone = "dry", copies = 1 }, record.answer)
  end)

  it("is not needed to reject", function()
    local store <close> = open()
    local record = decide(store, ask(store, { form = form }), "reject", "ada")
    assert.same({ "reject" }, { record.decision, record.answer })
  end)

  it("is needed where the form asks for something else than an object", function()
    local store <close> = open()
    local id = ask(store, { form = { type = "string", minLength = 1 } })
    assert_refused("invalid", "an answer is needed", decide(store, id, "approve", "ada"))
    assert_refused("invalid", "answer", decide(store, id, "approve", "ada", { answer = "" }))
    assert.equal("yes", decide(store, id, "approve", "ada", { answer = "yes" }).answer)
  end)

  it("without a form comes with an edit only, and an edit never without", function()
    local store <close> = open()
    local id = ask(store)
    assert_refused("invalid", "nothing was asked for", decide(store, id, "approve", "ada", { answer = 1 }))
    assert_refused("invalid", "nothing was asked for", decide(store, id, "reject", "ada", { answer = 1 }))
    assert_refused("invalid", "an edit has to carry an answer", decide(store, id, "edit", "ada"))
    assert_refused("invalid", "answer: ", decide(store, id, "edit", "ada", { answer = { print } }))
    local record = decide(store, id, "edit", "ada", { answer = { amount = 900 } })
    assert.same({ "edit", { amount = 900 } }, { record.decision, record.answer })
  end)
end)

describe("a quorum", function()
  it("needs so many different people; until then the question stays open", function()
    local store <close> = open()
    local id = ask(store, { quorum = 3 })
    local record, state, missing = decide(store, id, "approve", "ada")
    assert.same({ "open", 2, 1 }, { state, missing, #record.given })
    assert_refused("denied", "ada has decided already; 3 different people have to approve", decide(store, id, "approve", "ada"))
    assert_refused("denied", "ada has decided already", decide(store, id, "reject", "ada"))
    assert.same({ "open", 1 }, { select(2, decide(store, id, "approve", "bob")) })
    assert.equal("pending", select(2, approval.get(store, id)))
    record, state = decide(store, id, "approve", "carol")
    assert.equal("decided", state)
    assert.same({ "ada", "bob", "carol" }, { record.given[1].by, record.given[2].by, record.given[3].by })
    assert.equal("carol", record.by)
  end)

  it("is lost with one rejection", function()
    local store <close> = open()
    local id = ask(store, { quorum = 3 })
    decide(store, id, "approve", "ada")
    local record, state = decide(store, id, "reject", "bob", { comment = "no" })
    assert.same({ "decided", "reject", "bob", "no" }, { state, record.decision, record.by, record.comment })
    assert.equal(2, #record.given)
  end)

  it("is about one thing: who approves another answer than the first is refused", function()
    local store <close> = open()
    local id = ask(store, { quorum = 2, form = { type = "object", properties = { words = { type = "integer" } } } })
    decide(store, id, "approve", "ada", { answer = { words = 3 } })
    assert_refused("conflict", "ada said 'approve' with the answer {\"words\":3}; who agrees says the same",
      decide(store, id, "approve", "bob", { answer = { words = 4 } }))
    assert_refused("conflict", "ada said", decide(store, id, "edit", "bob", { answer = { words = 3 } }))
    assert.equal("decided", select(2, decide(store, id, "approve", "bob", { answer = { words = 3 } })))
  end)

  it("counts every voice of people who speak at once", function()
    local store <close> = open()
    local id = ask(store, { quorum = 20 })
    local states = { open = 0, decided = 0 }
    task.within({}, function()
      for index = 1, 20 do
        task.spawn(function()
          local _, state = decide(store, id, "approve", "person " .. index)
          states[state] = states[state] + 1
        end)
      end
    end)
    assert.same({ open = 19, decided = 1 }, states)
    assert.equal(20, #approval.get(store, id).given)
  end)
end)

describe("a time limit", function()
  it("is kept by whoever comes first: from then on nobody can approve", function()
    for on_timeout, expected in pairs { reject = "reject", approve = "approve", fail = "timeout", [false] = "timeout" } do
      local store <close> = open()
      local id = ask(store, { due_ms = NOW + HOUR, on_timeout = on_timeout or nil })
      local record, message, code, winner = decide(store, id, "approve", "ada", nil, { now_ms = NOW + HOUR })
      assert_refused("conflict", "nobody had decided by 2025%-11%-22T16:06:40.000Z, so its default holds", record, message, code)
      assert.equal("timeout", winner.decision)
      assert.same(winner, (approval.get(store, id)))
      local result = approval.result(winner)
      assert.same({ expected, "2025-11-22T16:06:40.000Z" }, { result.decision, result.at })
      assert.is_nil(result.by)
    end
  end)

  it("ends the question when it has passed and never before", function()
    local store <close> = open()
    local id = ask(store, { due_ms = NOW + HOUR })
    assert_refused("invalid", "does not run out before 2025%-11%-22T16:06:40.000Z", approval.expire(store, id, NOW + HOUR - 1))
    assert.equal("timeout", approval.expire(store, id, NOW + HOUR).decision)
    assert_refused("invalid", "does not run out at all", approval.expire(store, (ask(store, { step = "other" })), NOW + HOUR))
  end)

  it("keeps the voices given until then", function()
    local store <close> = open()
    local id = ask(store, { due_ms = NOW + HOUR, quorum = 2 })
    decide(store, id, "approve", "ada", { comment = "fine" })
    local record = approval.expire(store, id, NOW + HOUR)
    assert.equal("ada", record.given[1].by)
    assert.same({ "timeout" }, { record.decision, record.by, record.comment })
  end)

  it("lets a decision before it through", function()
    local store <close> = open()
    local id = ask(store, { due_ms = NOW + HOUR })
    assert.equal("decided", select(2, decide(store, id, "approve", "ada", nil, { now_ms = NOW + HOUR - 1 })))
  end)
end)

describe("a cancelled question", function()
  it("says why, and cannot be decided any more", function()
    local store <close> = open()
    local id = ask(store)
    local record = approval.cancel(store, id, "run cancelled", NOW)
    assert.same({ "cancelled", "run cancelled" }, { record.decision, record.comment })
    assert_refused("conflict", "it was cancelled at 2025%-11%-22T15:06:40.000Z: run cancelled", decide(store, id, "approve", "ada"))
    assert_refused("cancelled", "run cancelled", approval.result(record))
  end)
end)

describe("the result of an approval", function()
  it("is what its step puts out", function()
    local store <close> = open()
    local id = ask(store, { form = { type = "string" } })
    assert_refused("invalid", "waits for a decision", approval.result((approval.get(store, id))))
    local record = decide(store, id, "approve", "ada", { answer = "yes", comment = "fine" })
    assert.same({ decision = "approve", by = "ada", comment = "fine", answer = "yes", at = "2025-11-22T15:06:40.001Z" }, approval.result(record))
    record = decide(store, ask(store, { step = "b" }), "edit", "ada", { answer = { 1 } })
    assert.same({ decision = "approve", by = "ada", answer = { 1 }, at = "2025-11-22T15:06:40.001Z" }, approval.result(record))
    record = decide(store, ask(store, { step = "c" }), "reject", "bob")
    assert.same({ decision = "reject", by = "bob", at = "2025-11-22T15:06:40.001Z" }, approval.result(record))
  end)
end)

describe("a race", function()
  -- Seeded, so that a failure can be seen again.
  local state = 96
  local function random(n)
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 % n + 1
  end

  local function shuffle(list)
    for index = #list, 2, -1 do
      local other = random(index)
      list[index], list[other] = list[other], list[index]
    end
    return list
  end

  local DUE = NOW + HOUR
  local actors = {
    function(store, id) return approval.decide(store, id, { decision = "approve", by = "ada" }, { now_ms = DUE - 1 }) end,
    function(store, id) return approval.decide(store, id, { decision = "reject", by = "bob" }, { now_ms = DUE - 1 }) end,
    function(store, id) return approval.expire(store, id, DUE) end,
    function(store, id) return approval.cancel(store, id, "run cancelled", DUE) end,
  }

  -- Lets all four act on one question; gives what each of them was told.
  local function round(store, id)
    local told = {}
    task.within({}, function()
      for _, index in ipairs(shuffle { 1, 2, 3, 4 }) do
        task.spawn(function()
          for _ = 2, random(3) do task.yield() end
          told[index] = table.pack(actors[index](store, id))
        end)
      end
    end)
    return told
  end

  it("of approve, reject, timeout and cancel has one winner in each of 10,000 rounds, and the losers are told who", function()
    local store <close> = open()
    local fields = question { due_ms = DUE }
    local wins = { 0, 0, 0, 0 }
    for number = 1, 10000 do
      fields.id = approval.id(fields.action, "race", number, fields.hash)
      assert(store:batch(approval.ask(fields)))
      local told = round(store, fields.id)
      local winner
      for index = 1, 4 do
        if told[index][1] then
          if winner then error(("round %d has two winners"):format(number)) end
          winner, wins[index] = told[index][1], wins[index] + 1
        end
      end
      if not winner then error(("round %d has no winner"):format(number)) end
      for index = 1, 4 do
        local record, _, code, first = table.unpack(told[index], 1, 4)
        if not record and (code ~= "conflict" or first.decision ~= winner.decision or first.by ~= winner.by or first.at_ms ~= winner.at_ms) then
          error(("round %d, actor %d: %s, not told who was first"):format(number, index, tostring(code)))
        end
      end
      if approval.get(store, fields.id).decision ~= winner.decision then error(("round %d: another decision was kept"):format(number)) end
    end
    assert.equal(10000, wins[1] + wins[2] + wins[3] + wins[4])
    for index = 1, 4 do assert.is_true(wins[index] > 500, ("actor %d won %d times"):format(index, wins[index])) end
    assert.equal(0, #approval.pending(store))
    assert.equal(10000, (store:verify()).kv)
  end)

  it("between questions does not exist: 50 of one step, answered in random order, each get their own answer", function()
    local store <close> = open()
    local ids = {}
    for index = 1, 50 do
      local fields = question { step = "each", show = { file = index }, form = { type = "object" } }
      fields.id = approval.id("r_0mwt3f7rmhd548dre7li", ("map[%d]/each"):format(index), 1, fields.hash)
      assert(store:batch(approval.ask(fields)))
      ids[index] = fields.id
    end
    local order = {}
    for index = 1, 50 do order[index] = index end
    task.within({}, function()
      for _, index in ipairs(shuffle(order)) do
        task.spawn(function()
          for _ = 2, random(4) do task.yield() end
          local by = "person " .. index
          assert(approval.decide(store, ids[index], { decision = index % 7 == 0 and "reject" or "approve", by = by, answer = { file = index } }))
        end)
      end
    end)
    for index = 1, 50 do
      local record, where = approval.get(store, ids[index])
      assert.same({ "decided", "person " .. index, index, index, index % 7 == 0 and "reject" or "approve" },
        { where, record.by, record.answer.file, record.show.file, record.decision })
    end
  end)
end)
