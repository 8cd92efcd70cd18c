--- The week in notes, each Friday at three: the notes are summarized side by side, put together, held against a rubric,
--- and shown to a person. What nobody releases by Thursday is not published, and the next Friday begins anew.

local weir = require "weir"

return weir.pipeline "weekly" {
  doc = "A summary of the week's notes, published once somebody has released it",
  on = { { schedule = { cron = "0 15 * * fri", tz = "local", missed = "last", overlap = "skip" }, input = { day = "$.event.data.day" } } },
  input = { day = "string = today", path = "string = docs", out = "string = weeks", words = "integer = 200" },
  weir.step "list" {
    agent = "files", options = { mode = "list", required = true }, input = { path = "$.input.path", glob = "*.{md,txt}" },
  },
  weir.map "notes" { over = "$.list.files", concurrency = 4, tolerate = "20%",
    weir.step "text" { agent = "files", options = { mode = "read" }, input = { path = "$.item" } },
    weir.step "short" { agent = "summarize", options = { words = 80 }, input = "$.text" },
    reduce = { agent = "combine", mode = "tree", arity = 8, options = { words = 400 } },
  },
  weir.step "week" {
    agent = "combine", input = { items = { "$.notes" }, words = "$.input.words" },
    critic = { use = "rubric", options = { min_words = 5, coverage = 0.4 }, attempts = 3, otherwise = "accept_best" },
  },
  weir.approval "release" {
    title = "Publish the week of ${input.day}?", show = "$.week.text", timeout = "6d", on_timeout = "reject",
  },
  weir.step "write" {
    agent = "files", options = { mode = "write" },
    input = { path = "${input.out}/${input.day}.md", text = "# The week of ${input.day}\n\n${week.text}\n" },
  },
  output = { path = "$.write.path", released_by = "$.release.by" },
}
