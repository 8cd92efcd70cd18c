local files = require "weir.port.files"
local native = require "weir.native.scheduler"
local process = require "weir.port.process"
local pyramid = require "weir.text.pyramid"
local support = dofile "spec/lua/weir/run/support.lua"
local testing = require "weir.testing"
local workspace = require "weir.workspace"

local condense = testing.module "agents/condense"

-- A text of many paragraphs, no two alike.
local PLACES = { "harbour", "island", "mill", "lighthouse", "reef", "village", "market", "quarry", "bridge", "weir" }
local function paragraphs(count)
  local list = {}
  for n = 1, count do
    local place, other = PLACES[n % 10 + 1], PLACES[(n * 7 + 3) % 10 + 1]
    list[n] = ("In the year %d the people of the %s built a road of %d miles. It leads to the %s, and it was mended %d times."
      .. " Nobody who lives at the %s remembers why.\n\n"):format(1700 + n, place, n * 3 + 1, other, n % 9 + 2, place)
  end
  return list
end

local KILLS = tonumber(os.getenv "WEIR_KILLS") or 6
local PARAGRAPHS = tonumber(os.getenv "WEIR_PARAGRAPHS") or 400
local AT_ONCE = 4 -- summaries of a level, as the pipeline says

describe("pipeline pyramid", function()
  local folder, world, calls, drafts, underway, most, stand_in
  local function open()
    world = support.world()
    world.here.settings.options = { ["agents/files"] = { roots = { folder } } }
    calls, drafts, underway, most, stand_in = 0, {}, 0, 0, nil
    world.here.registry:put { kind = "agent", name = "condense", api = 1, options = condense.options, execute = function(ctx, input)
      local key = ctx.idempotency_key:match "/(.*)"
      if world.mortal and world.mortal.is_over then error { code = "unavailable", message = "the process has ended" } end
      native.atomic(function() -- an agent may lose the processor anywhere
        if not ctx.feedback then calls = calls + 1 end
        drafts[key] = (drafts[key] or 0) + 1
        underway = underway + 1
        most = math.max(most, underway)
      end)
      ctx:sleep(1)
      native.atomic(function() underway = underway - 1 end)
      return stand_in and stand_in(ctx, input) or condense.execute(ctx, input)
    end }
  end

  -- Another life, of so many writes; nothing of the one before is left.
  local function live(writes)
    do local _ <close> = world.engine end
    world:life(writes)
  end

  before_each(function()
    folder = assert(require("luv").fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/weir-spec-XXXXXX"))
    open()
  end)
  after_each(function()
    do local _ <close> = world.engine end
    world:close()
    process.run { "rm", "-rf", "--", folder }
  end)

  local function begin(text)
    assert(files.write(folder .. "/text.txt", text))
    return world:begin(assert(world.here:load(assert(world.here:pipeline_file "pyramid"))), { path = folder .. "/text.txt" })
  end

  local function run(text)
    calls, drafts = 0, {}
    local made = begin(text)
    world:settle(made.id)
    local ending = world:ending(made.id)
    assert.equal("finished", ending.status, ending.value.message)
    return ending.value
  end

  local function view() return workspace.view(world.store, { pipeline = "pyramid", scope = "pipeline" }) end

  local function getter(output)
    local of = view()
    return function(id)
      local document = of:get(output.document .. "/" .. id)
      return document and document.value
    end, of:get(output.document).value.top
  end

  local function places(origin, list)
    list = list or {}
    for _, place in ipairs(origin.places or {}) do list[#list + 1] = { place = place, text = origin.text } end
    for _, below in ipairs(origin.of or {}) do places(below, list) end
    return list
  end

  local function check_places(output, text)
    local get, top = getter(output)
    for number = 1, #get(top).sentences do
      local found = places(assert(pyramid.origin(get, top, number)))
      assert.is_true(#found > 0, "sentence " .. number .. " comes from nowhere")
      for _, leaf in ipairs(found) do
        assert.equal(leaf.text, text:sub(leaf.place.from, leaf.place.to))
        assert.equal(select(2, text:sub(1, leaf.place.from - 1):gsub("\n", "")) + 1, leaf.place.line)
      end
    end
  end

  it("keeps every summary as a document, of each level's length and method, linked down to bytes and lines", function()
    local text = table.concat(paragraphs(200))
    local output = run(text)
    local levels = {}
    for _, document in ipairs(view():list { prefix = output.document .. "/", limit = 1000 }) do
      local node = view():get(document.name).value
      levels[node.level] = levels[node.level] or { count = 0, method = node.method }
      levels[node.level].count = levels[node.level].count + 1
      assert.is_true(node.words <= ({ 60, 100, 150 })[node.level])
      assert.same({ "level/" .. node.level }, document.tags)
    end
    assert.same({ "sumbasic", "model", "model" }, { levels[1].method, levels[2].method, levels[3].method })
    assert.is_true(levels[1].count > levels[2].count and levels[2].count > 1 and levels[3].count == 1)
    assert.equal(output.summaries, levels[1].count + levels[2].count + 1)
    check_places(output, text)
  end)

  it("condenses the pieces of a level side by side", function()
    run(table.concat(paragraphs(200)))
    assert.equal(4, most)
  end)

  it("computes after an edit, an insertion and an append only what is above the change", function()
    local list = paragraphs(200)
    local whole = run(table.concat(list))
    assert.equal(whole.summaries, calls)
    assert.is_true(calls > 20)
    assert.equal(0, run(table.concat(list)).added)
    assert.equal(0, calls)
    list[40] = "In the middle stands something else now, which was not there before.\n\n"
    local edited = run(table.concat(list))
    assert.is_true(calls >= 3 and calls <= 6, calls .. " summaries after an edit")
    assert.equal(calls, edited.added)
    table.insert(list, 1, "At the beginning stands a paragraph that moves all others.\n\n")
    local moved = run(table.concat(list))
    assert.is_true(calls >= 3 and calls <= 6, calls .. " summaries after an insertion")
    check_places(moved, table.concat(list))
    list[#list + 1] = "At the end somebody has added one more sentence.\n\n"
    run(table.concat(list))
    assert.is_true(calls >= 3 and calls <= 4, calls .. " summaries after an append")
  end)

  it("forgets the summaries that the top does not reach any more", function()
    local list = paragraphs(200)
    run(table.concat(list))
    list[60] = "Something else.\n\n"
    local output = run(table.concat(list))
    assert.is_true(output.removed >= 3)
    assert.equal(output.summaries, #view():list { prefix = output.document .. "/", limit = 1000 })
  end)

  it("has the critic send back the one summary that is too long, and no other", function()
    function stand_in(ctx, input)
      if ctx.feedback or not (input.text or ""):find("the year 1705 ", 1, true) then return nil end
      return pyramid.written_leaf(input, ("word "):rep(200), "model")
    end
    local output = run(table.concat(paragraphs(200)))
    local again = {}
    for key, count in pairs(drafts) do
      if count > 1 then again[#again + 1] = key end
    end
    assert.same({ "level_1[0]/summary_1" }, again)
    assert.equal(output.summaries, calls)
  end)

  it("remembers a second draft as well as a first one", function()
    function stand_in(ctx, input)
      if ctx.feedback or not (input.text or ""):find("the year 1705 ", 1, true) then return nil end
      return pyramid.written_leaf(input, ("word "):rep(200), "model")
    end
    run(table.concat(paragraphs(40)))
    assert.equal(2, drafts["level_1[0]/summary_1"])
    run(table.concat(paragraphs(40)))
    assert.same({}, drafts)
  end)

  -- Test 134: at most the summaries that were under way are made again.
  it(("summarizes nothing again that was kept, over %d lives that end anywhere"):format(KILLS), function()
    local text = table.concat(paragraphs(PARAGRAPHS))
    local whole = run(text)
    local get, of_whole = getter(whole)
    local top, made = get(of_whole).text, calls
    do local _ <close> = world.engine end
    world:close()
    open()
    for _ = 1, KILLS do
      live(math.random(12, math.max(13, made // KILLS))) -- long enough for some progress: three without any are too many
      if not next(assert(world.store:runs { limit = 1 })) then begin(text) else world:go_on() end
    end
    live()
    if not next(assert(world.store:runs { limit = 1 })) then begin(text) end
    local id = assert(world.store:runs { limit = 1 })[1].id
    world:settle(id)
    local ending = world:ending(id)
    assert.equal("finished", ending.status, ending.value.message)
    local again, of_top = getter(ending.value)
    assert.equal(top, again(of_top).text)
    assert.is_true(calls <= made + KILLS * AT_ONCE, ("%d summaries, %d without a kill"):format(calls, made))
    assert.is_true(calls > made) -- or nothing was lost on the way
  end)

  it("refuses a text without anything in it", function()
    assert(files.write(folder .. "/text.txt", ""))
    local made = world:begin(assert(world.here:load(assert(world.here:pipeline_file "pyramid"))), { path = folder .. "/text.txt" })
    world:settle(made.id)
    assert.equal("failed", world:ending(made.id).status)
  end)
end)
