-- Answers the state of the queue. KEYS and ARGV[1] as in state.lua, which stands before this.
return state()
