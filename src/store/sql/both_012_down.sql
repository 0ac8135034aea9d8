DROP TABLE former_tokens;
