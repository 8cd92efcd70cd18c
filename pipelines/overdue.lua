--- Says so when the digest of the day is not there: starts at nine on working days, and only if `daily` has not finished in
--- the twelve hours before. A check that was missed is not made up for. What nobody looks for is found missing at once, not
--- after a week.

local weir = require "weir"

return weir.pipeline "overdue" {
  doc = "Notes that the digest of the day has not been made",
  on = {
    { schedule = { cron = "0 9 * * *", tz = "local", calendar = { days = "mon-fri", exclude = { "01-01", "12-25", "12-26" } },
        missed = "none", absent = { pipeline = "daily", within = "12h" } },
      input = { day = "$.event.data.day", since = "$.event.data.absent.since" } },
  },
  input = { day = "string = today", since = "string = this morning", out = "string = digests" },
  weir.step "note" {
    agent = "files", options = { mode = "write" },
    input = { path = "${input.out}/OVERDUE-${input.day}.md", text = "No digest has been finished since ${input.since}.\n" },
  },
  output = "$.note.path",
}
