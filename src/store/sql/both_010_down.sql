DROP TABLE push_messages;
