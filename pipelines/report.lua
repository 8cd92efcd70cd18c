-- Turns a folder of CSV and Markdown files into one report. How, nobody has written down: the steps are planned from what the
-- agents below say that they need and give.
--     weir run report --set folder=docs --dry-run     the plan, and how long it will take
--     weir run report --set folder=docs
--     weir goals last
local weir = require "weir"

return weir.pipeline "report" {
  doc = "One report of the CSV and Markdown files of a folder, by a plan",
  input = { folder = "string = pipelines/data/harbour", title = "string = Report", out = "string = report.md" },
  weir.plan "report" {
    goal = { text = "turn this folder of CSV and Markdown files into one report", want = { report = "string" } },
    agents = { "folder_documents", "csv_table", "table_page", "markdown_sections", "document_page", "join_report" },
    limits = { steps = 12, depth = 8, seconds = 600 }, replan = 1,
    input = { folder = "$.input.folder", title = "$.input.title", exclude = "$.input.out" },
  },
  weir.step "write" {
    agent = "files", options = { mode = "write" }, input = { path = "$.input.out", text = "$.report.report" },
  },
  output = "$.write",
}
