--- A summary that can be asked where it comes from, and made again for what an edit changed.
---
--- The text is cut where its content says so, each piece condensed, the summaries condensed again, up to one. Each level
--- has its own length and its own method or model; a critic sends back the one summary that is too long or leaves out too
--- much. All of them are kept as documents, so that a sentence can be followed down, and an edit costs what it changes:
---     weir run pyramid --set path=docs/store.md
---     weir workspace zoom pyramid/docs/store.md --scope pipeline:pyramid --sentence 1

local weir = require "weir"

-- Words that a summary has at most, who makes it, and the share of the key terms below it that it has to name: here a
-- method, a local model, and at the top whichever model is set. Another pass is another line.
local LEVELS = {
  { words = 60, method = "sumbasic", coverage = 0.25 },
  { words = 100, method = "model", model = "local/lexrank", coverage = 0.25 },
  { words = 150, method = "model", coverage = 0.25 },
}

local function name(number) return "level_" .. number end

-- Summaries of a level side by side; those that nothing has changed for are known from before.
local function level(number, over, input)
  local of = LEVELS[number]
  return weir.map(name(number)) { over = over, concurrency = 4, memo = "90d",
    weir.step("summary_" .. number) {
      agent = "condense", options = { words = of.words, method = of.method }, model = of.model, input = input,
      critic = { use = "rubric", options = { max_words = of.words, coverage = of.coverage, key_terms = 8 }, attempts = 3,
        otherwise = "accept_best" },
    },
  }
end

-- What stands together on the next level; for the last one that is everything.
local function grouped(number)
  local options = number < #LEVELS and { by = "content", size = 4 } or { by = "count", size = 100000 }
  return weir.step("groups_" .. number) { agent = "chunk", options = options, input = { items = "$." .. name(number - 1) } }
end

local NAME = "pyramid/${input.path}"

-- Some of the summaries in one commit: those to keep, or those that the top does not reach any more.
local function by_parts(what, over, field)
  return weir.map(what) { over = over, batch = 50,
    weir.step(what .. "_part") { agent = "pyramid_part", input = { name = NAME, [field] = "$.item" } } }
end

local steps, kept, levels, parts = {}, {}, {}, {}
for number = 1, #LEVELS do
  if number == 1 then
    steps[1] = level(1, "$.cut.chunks", { text = "$.item.text", source = "$.input.path" })
  else
    steps[#steps + 1] = grouped(number)
    steps[#steps + 1] = level(number, ("$.groups_%d.chunks"):format(number), { items = "$.item.items" })
  end
  kept[number] = by_parts("kept_" .. number, "$." .. name(number), "summaries")
  levels[number], parts[number] = "$." .. name(number), "$.kept_" .. number
end

return weir.pipeline "pyramid" {
  doc = "Summarizes a long text in passes, and keeps every summary with what it rests on",
  input = { path = "string = docs/pipelines.md" },
  weir.step "text" { agent = "files", options = { mode = "read" }, input = { path = "$.input.path" } },
  weir.step "cut" { agent = "chunk", options = { by = "content", size = 1500 }, input = "$.text" },
  steps,
  kept,
  weir.step "top" { agent = "pyramid", input = { name = NAME, source = "$.input.path", levels = levels, kept = parts } },
  by_parts("forgotten", "$.top.unreached", "forget"),
  output = { document = "$.top.document", text = "$.top.text", words = "$.top.words", levels = "$.top.levels",
    summaries = "$.top.summaries", added = "$.top.added", removed = "$.top.removed" },
}
