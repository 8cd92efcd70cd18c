--- Writers side by side against a model of what they did: what each of them was told is committed has to be
--- there, once, and every snapshot has to read one state, however much is written meanwhile.

local index = require "weir.workspace.index"
local native = require "weir.native.scheduler"
local support = dofile "spec/lua/weir/workspace/support.lua"
local task = require "weir.task"
local workspace = require "weir.workspace"

local WRITERS, ROUNDS, ACCOUNTS, TOTAL = 8, 250, 5, 5000
local WORDS = { "weir", "sluice", "river", "mill", "ebb", "flow", "tide", "pond" }

local function words_of(random)
  local list = {}
  for place = 1, 3 do list[place] = WORDS[random(#WORDS)] end
  return table.concat(list, " ")
end

-- Each does one thing and notes it in the model when it has been acknowledged.
local acts = {}

function acts.count(store, model, random)
  local by = random(9)
  support.post(store, "counter", by, { merge = "counter" })
  model.counter = model.counter + by
end

function acts.append(store, model, _, writer)
  local n = (model.appended[writer] or 0) + 1
  support.post(store, "log", { { writer = writer, n = n } }, { merge = "append" })
  model.appended[writer] = n
end

function acts.add(store, model, random)
  local element = { random(40) }
  support.post(store, "set", { element }, { merge = "set" })
  model.set[element[1]] = true
end

-- A document of which only one writer at a time may have the next version.
function acts.edit(store, model, _, writer)
  repeat
    local view = support.view(store)
    local document = view:get "edited"
    local value = { text = document and document.value.text or 0, by = writer }
    value.text = value.text + 1
    view:post("edited", value, { version = document and document.version or 0 })
    local ok, err = pcall(workspace.commit, view)
    if not ok then
      assert.equal("conflict", err.code)
      model.conflicts = model.conflicts + 1
    end
  until ok
  model.edits = model.edits + 1
end

-- Two documents at once, or neither.
function acts.move(store, _, random)
  local from, to, amount = "account" .. random(ACCOUNTS), "account" .. random(ACCOUNTS), random(20)
  local view = support.view(store)
  view:transaction(function(tx)
    tx:post(from, -amount, { merge = "counter" })
    tx:post(to, amount, { merge = "counter" })
  end)
  workspace.commit(view)
end

function acts.write(store, model, random, writer)
  local name, text = ("text%d/%d"):format(writer, random(6)), words_of(random)
  support.post(store, name, text, { tags = { "text" } })
  model.texts[name] = text
end

function acts.delete(store, model, random, writer)
  local name = ("text%d/%d"):format(writer, random(6))
  assert.equal(model.texts[name] ~= nil, support.delete(store, name))
  model.texts[name] = nil
end

-- A branch that moves and counts; it wins, or nothing of it is seen.
function acts.branch(store, model, random, writer)
  model.branches = model.branches + 1
  local overlay = workspace.overlay(store, { run = "r_1", branch = "b" .. model.branches })
  local by = random(9)
  for _, amount in ipairs { by, -by } do
    local view = support.view(store, { overlay = overlay })
    view:post("account" .. random(ACCOUNTS), amount, { merge = "counter" })
    view:post("branched" .. writer, { amount }, { merge = "append" })
    workspace.commit(view)
  end
  local wins = random(2) == 1
  repeat
    local results, message, code = store:batch(wins and workspace.adopt(overlay) or workspace.discard(overlay))
    assert.is_true(results ~= nil or code == "conflict", message)
  until results
  if wins then model.branched[writer] = (model.branched[writer] or 0) + 2 end
end

-- What one snapshot says of everything.
local function state_at(store, snapshot)
  local view, state, sum = support.view(store, { snapshot = snapshot }), {}, 0
  for _, document in ipairs(view:list { limit = 1000 }) do state[document.name] = view:get(document.name).value end
  for n = 1, ACCOUNTS do sum = sum + state["account" .. n] end
  assert.equal(TOTAL, sum)
  return state
end

-- Index and documents say the same.
local function check_index(store, snapshot, state)
  for _, word in ipairs(WORDS) do
    local expected, found = {}, {}
    for name, value in pairs(state) do
      if index.terms_of(name, { value = value, tags = name:find "^text" and { "text" } or nil })[word] then expected[name] = true end
    end
    for _, document in ipairs(support.view(store, { snapshot = snapshot }):search(word, { limit = 1000 })) do found[document.name] = true end
    assert.same(expected, found)
  end
end

-- The log tells every version of every document once, in order, and a model that follows it ends where the
-- store is.
local function check_log(store, state)
  local view, latest = support.view(store), {}
  local offset = view:offset()
  for change in view:watch({}, 0) do
    assert.equal((latest[change.name] and latest[change.name].version or 0) + 1, change.version)
    latest[change.name] = change
    if change.offset == offset then break end
  end
  for name, change in pairs(latest) do assert.equal(change.kind == "post", state[name] ~= nil, name) end
  for name in pairs(state) do assert.is_not_nil(latest[name]) end
  return offset
end

local function check_end(model, state)
  assert.equal(model.counter, state.counter)
  assert.equal(model.edits, state.edited.text)
  local seen, members = {}, {}
  for _, entry in ipairs(state.log) do
    assert.equal((seen[entry.writer] or 0) + 1, entry.n)
    seen[entry.writer] = entry.n
  end
  assert.same(model.appended, seen)
  for writer = 1, WRITERS do
    assert.equal(model.branched[writer], state["branched" .. writer] and #state["branched" .. writer] or nil)
  end
  for _, element in ipairs(state.set) do
    assert.is_nil(members[element[1]])
    members[element[1]] = true
  end
  assert.same(model.set, members)
  for name, value in pairs(state) do
    if name:find "^text" then assert.equal(model.texts[name], value) end
  end
  for name, value in pairs(model.texts) do assert.equal(value, state[name]) end
end

describe("writers side by side", function()
  after_each(native.use_real_clock)

  for _, seed in ipairs { 1, 20261 } do
    it(("lose nothing, and snapshots between them each read one state (seed %d)"):format(seed), function()
      native.use_virtual_clock(seed)
      local store <close> = support.store()
      local model = { counter = 0, appended = {}, set = {}, edits = 0, conflicts = 0, texts = {}, acts = 0, branches = 0,
        branched = {} }
      for n = 1, ACCOUNTS do support.post(store, "account" .. n, TOTAL // ACCOUNTS) end
      local names, snapshots = { "count", "append", "add", "edit", "move", "write", "write", "delete", "branch" }, {}
      local ok, err = task.within({}, function()
        for writer = 1, WRITERS do
          task.spawn(function()
            local random = support.generator(seed * 100 + writer)
            for _ = 1, ROUNDS do
              acts[names[random(#names)]](store, model, random, writer)
              model.acts = model.acts + 1
            end
          end)
        end
        task.spawn(function()
          for _ = 1, 12 do
            local snapshot = workspace.snapshot(store)
            snapshots[#snapshots + 1] = { lsn = snapshot, state = state_at(store, snapshot) }
            local until_acts = #snapshots * WRITERS * ROUNDS // 13
            while model.acts < until_acts do task.yield() end
          end
        end)
      end)
      assert.is_true(ok, tostring(err))
      local now = workspace.snapshot(store)
      local state = state_at(store, now)
      check_end(model, state)
      check_index(store, now, state)
      check_log(store, state)
      for _, entry in ipairs(snapshots) do
        assert.same(entry.state, state_at(store, entry.lsn))
        check_index(store, entry.lsn, entry.state)
      end
      assert.is_true(model.conflicts > 0) -- or nothing was tried
      assert.same({}, store:scan "workspace.overlays")
      local lowest = snapshots[7].lsn
      assert.is_true(workspace.trim(store, lowest) > 0)
      for place = 7, #snapshots do
        assert.same(snapshots[place].state, state_at(store, snapshots[place].lsn))
        check_index(store, snapshots[place].lsn, snapshots[place].state)
      end
      assert.same({}, (select(2, store:verify())))
    end)
  end
end)
