--- Learns a skill for something that no agent here can do.

local weir = require "weir"

return weir.pipeline "learn" {
  doc = "Finds, tries and registers a skill",
  input = { need = "string", name = "string?" },
  weir.step "scout" { agent = "skill_scout", input = { need = "$.input.need", name = "$.input.name?" } },
}
