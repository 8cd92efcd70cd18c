--- A digest of a folder of notes, each working day at half past six, ready before anybody comes. After a holiday or a day on
--- which no host was there, one run makes up for all that was missed. `weir serve` starts it; `weir run daily` does so once.

local weir = require "weir"

return weir.pipeline "daily" {
  doc = "A digest of a folder of notes on each working day",
  on = {
    { schedule = { cron = "30 6 * * *", tz = "local", calendar = { days = "mon-fri", exclude = { "01-01", "12-25", "12-26" } },
        missed = "coalesce", overlap = "skip" },
      input = { day = "$.event.data.day" } },
  },
  input = { day = "string = today", path = "string = docs", out = "string = digests" },
  weir.step "digest" {
    pipeline = "digest", retry = { attempts = 3, backoff = "1m" },
    input = { path = "$.input.path", out = "${input.out}/${input.day}.md" },
  },
  output = "$.digest.path",
}
