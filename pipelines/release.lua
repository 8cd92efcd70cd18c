-- Summarizes a document, shows the summary to a person, and publishes what that person released.
--     weir run release --set path=README.md
--     weir approvals
--     weir approve a_... --answer '{"title": "What weir is"}'
local weir = require "weir"

return weir.pipeline "release" {
  doc = "Publishes the summary of a document once somebody has released it.",
  input = { path = "string", out = "string = summary.md", words = "integer = 60" },
  weir.step "read" { agent = "files", options = { mode = "read" }, input = { path = "$.input.path" } },
  weir.step "draft" { agent = "summarize", input = { text = "$.read.text", words = "$.input.words" } },
  weir.approval "release" {
    title = "Publish the summary of ${input.path}?", show = "$.draft.text",
    form = { type = "object", properties = { title = { type = "string", minLength = 1 } }, required = { "title" } },
    remind = "1d", timeout = "7d", on_timeout = "reject",
    precondition = { agent = "markdown_sections", input = { markdown_file = "$.input.path" } }, -- asked anew if it was rewritten since
  },
  weir.step "publish" {
    agent = "files", options = { mode = "write" },
    input = { path = "$.input.out", text = "# ${release.answer.title}\n\n${draft.text}\n" },
    undo = { agent = "files", options = { mode = "remove" }, input = { path = "$.publish.path" } },
  },
  output = { file = "$.publish.path", released_by = "$.release.by" },
}
