DROP TABLE event_consumers;
DROP TABLE events_state;
DROP TABLE events;
DROP TABLE leases;
