rspamd_config.YUBIN_TEST = {
  callback = function(task) return string.find(task:get_subject() or '', 'yubin test') ~= nil end,
  score = 7.2,
  description = 'the subject says so',
}
