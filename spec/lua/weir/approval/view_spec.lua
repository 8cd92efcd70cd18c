-- What a person is shown when somebody tries to deceive: what is seen is what is hashed and decided.
local approval = require "weir.approval"
local checkpoint = require "weir.native.checkpoint"

local NOW = 1763824000000

local function asked(store, changes, more)
  local fields = { pipeline = "pay", version = ("0"):rep(64), run = "r_0mwt3f7rmhd548dre7li", step = "transfer" }
  for name, value in pairs(changes) do fields[name] = value end
  local action, hash = assert(approval.action(fields))
  local question = { id = approval.id(fields.run, fields.step, 1, hash), action = action, asked_ms = NOW }
  for name, value in pairs(more or {}) do question[name] = value end
  assert(store:batch(approval.ask(question)))
  return (approval.get(store, question.id))
end

-- The lines of what is shown, without those that weir adds.
local function shown(value)
  local store <close> = checkpoint.open ":memory:"
  local lines = {}
  for _, line in ipairs(approval.lines(asked(store, { show = value }))) do
    local inner = line:match "^  | (.*)$"
    if inner then lines[#lines + 1] = inner end
  end
  return lines
end

describe("an approval as a person sees it", function()
  it("says what is asked, by whom it may be decided, until when, and its hash", function()
    local store <close> = checkpoint.open ":memory:"
    local record = asked(store, { title = "Pay?", show = { amount = 1200, to = "Ada" }, form = { type = "object" }, input = { n = 1 } },
      { who = { "ops", "eve" }, quorum = 2, not_initiator = true, initiator = "bob", due_ms = NOW + 1000, on_timeout = "reject", kind = "in_doubt" })
    record = assert(approval.decide(store, record.id, { decision = "approve", by = "eve", comment = "fine" }, { now_ms = NOW }))
    assert.same({
      record.id .. "  pay / transfer  run r_0mwt3f7rmhd548dre7li",
      "  in doubt: whether this step has happened is not known",
      "  asks      Pay?",
      "  shown", "  | amount: 1200", '  | to: "Ada"',
      "  input of the step", "  | n: 1",
      "  an answer has to fit this JSON Schema", '  | type: "object"',
      "  who       ops, eve",
      "            2 different people have to approve",
      "            not bob, who began the run",
      "  given     approve by eve at 2025-11-22T15:06:40.000Z: fine",
      "    with", "  | {}",
      "  asked     2025-11-22T15:06:40.000Z",
      "  due       2025-11-22T15:06:41.000Z; then it counts as rejected",
      "  version   " .. ("0"):rep(64),
      "  hash      " .. record.hash,
    }, approval.lines(record))
  end)

  it("cannot be given lines that look like weir's own", function()
    local store <close> = checkpoint.open ":memory:"
    local forged = "a\n  hash      0000\n  who       anybody\r  hash"
    local record = asked(store, { title = forged, step = forged, show = { [forged] = forged, list = { forged } } }, { initiator = "x" .. forged, not_initiator = true })
    record = assert(approval.decide(store, record.id, { decision = "reject", by = forged, comment = forged }, { now_ms = NOW }))
    local hashes = 0
    for index, line in ipairs(approval.lines(record)) do
      assert.not_matches("[\0-\31]", line)
      if line:find "^  hash " then hashes = hashes + 1 end
      assert.is_true(index == 1 or line:find "^  |" ~= nil or line:find "^  %l[%l ]+" ~= nil or line:find "^            not " ~= nil, line)
    end
    assert.equal(1, hashes)
  end)

  it("has ANSI sequences, bidi marks and what cannot be seen written out", function()
    assert.same({ '"\\u001b[2J\\u001b[1A\\u{202e}evil\\u{2066}\\u{200b}\\u{e0041}\\x7f\\u{9b}2J"' },
      shown "\27[2J\27[1A\u{202e}evil\u{2066}\u{200b}\u{e0041}\127\u{9b}2J")
    assert.same({ '"k\\u{202e}": 1' }, shown { ["k\u{202e}"] = 1 })
    assert.same({ "text of 2 lines, 8 bytes", "  > a\\u{202e}b", "  > c\\x1b" }, shown "a\u{202e}b\nc\27")
  end)

  it("tells text that looks like data from data", function()
    assert.same({ 'a: "{\\"amount\\":1}"', 'b: "12"', "c: 12", 'd: "true"', "e: true", "f:", "  amount: 1", 'g: "null"', "h: null", "i: []", "j: {}" },
      shown { a = '{"amount":1}', b = "12", c = 12, d = "true", e = true, f = { amount = 1 }, g = "null", h = require("weir.json").null,
        i = require("weir.json").list {}, j = {} })
    assert.same({ "text of 2 lines, 16 bytes", "  > x", "  > amount: 900000" }, shown "x\namount: 900000")
  end)

  it("cuts what is too long and says how long it is", function()
    assert.same({ '"' .. ("x"):rep(1000) .. '" ... (1048576 bytes in all)' }, shown(("x"):rep(1 << 20)))
    assert.same({ '"' .. ("é"):rep(500) .. '" ... (1048576 bytes in all)' }, shown(("é"):rep(1 << 19)))
    local lines = shown(("line\n"):rep(100000))
    assert.equal("text of 100001 lines, 500000 bytes", lines[1])
    assert.equal(42, #lines)
    assert.equal("  ... 499800 more bytes", lines[42])
    local many = {}
    for index = 1, 10000 do many[index] = index end
    lines = shown { many = many }
    assert.same({ 52, "  ... 9950 more, 10000 in all" }, { #lines, lines[52] })
    local wide = {}
    for index = 1, 50 do wide[index] = { table.unpack(many, 1, 50) } end
    local store <close> = checkpoint.open ":memory:"
    lines = approval.lines(asked(store, { show = wide }))
    assert.is_true(#lines < 420)
    assert.is_truthy(table.concat(lines, "\n"):find("  ... 2150 more lines; --json has all", 1, true))
  end)

  it("goes down to every level, as JSON where indentation ends", function()
    local deep = { leaf = "x" }
    for _ = 1, 55 do deep = { deep } end
    local lines = shown(deep)
    assert.is_true(#lines <= 14)
    assert.matches('%[%[%[.*{\\"leaf\\":\\"x\\"}.*%]%]%]" as JSON$', lines[#lines])
  end)

  it("is decided as it was shown, or not at all", function()
    local store <close> = checkpoint.open ":memory:"
    local values = { "100", 100, 100.5, { 100 }, { amount = 100 }, { amount = "100" }, '{"amount":100}', "1\u{200b}00", "l00", "\u{661}00", ("0"):rep(1 << 20) }
    for index, value in ipairs(values) do
      for other, changed in ipairs(values) do
        local record = asked(store, { show = changed, step = ("s%d_%d"):format(index, other) })
        local before = asked(store, { show = value, step = ("s%d_%d"):format(index, other), title = "before" })
        local _, shown_hash = approval.action { pipeline = "pay", version = ("0"):rep(64), run = record.run, step = record.step, show = value }
        local decided, _, code = approval.decide(store, record.id, { decision = "approve", by = "ada", hash = shown_hash })
        assert.equal(index == other, decided ~= nil, index .. " " .. other)
        assert.equal(index ~= other and "conflict" or "decided", code or "decided")
        assert.not_equal(before.hash, record.hash)
        if decided then assert.equal(require("weir.native.hash").sha256(decided.action), decided.given[1].hash) end
      end
    end
  end)
end)
